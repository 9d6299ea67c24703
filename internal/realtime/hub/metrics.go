package hub

import (
	"causeway/internal/realtime/hub/offer"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of a hub. Labels come from closed sets: the names of transports,
// reasons, and the refusals listed in register.
type metrics struct {
	connections prometheus.Gauge
	openedBy    *prometheus.CounterVec
	closed      *prometheus.CounterVec
	refused     *prometheus.CounterVec
	received    prometheus.Counter
	sent        prometheus.Counter
	sentBytes   prometheus.Counter
}

// refusals are the values of the label of metrics.refused.
var refusals = []string{"token", "connections", "address", "groups", "streaming", "draining", "admission", "request", "invocations", "user_groups", "broker"}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "causeway", Subsystem: "hub", Name: name, Help: help}
	}
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "causeway", Subsystem: "hub", Name: "connections", Help: "Connections that hold a place, from negotiate to their end."}),
		openedBy:    prometheus.NewCounterVec(opts("connections_opened_total", "Connections opened, by transport."), []string{"transport"}),
		closed:      prometheus.NewCounterVec(opts("connections_closed_total", "Connections closed, by reason."), []string{"reason"}),
		refused:     prometheus.NewCounterVec(opts("refused_total", "What was refused to clients, by reason."), []string{"reason"}),
		received:    prometheus.NewCounter(opts("invocations_total", "Invocations by clients that reached a handler.")),
		sent:        prometheus.NewCounter(opts("messages_sent_total", "Messages queued for connections by the application.")),
		sentBytes:   prometheus.NewCounter(opts("message_bytes_sent_total", "Their bytes.")),
	}
	for _, t := range []transport{webSockets, serverSentEvents, longPolling} {
		m.openedBy.WithLabelValues(t.String())
	}
	for reason := range reasonText {
		m.closed.WithLabelValues(reason.String())
	}
	for _, why := range refusals {
		m.refused.WithLabelValues(why)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connections, m.openedBy, m.closed, m.refused, m.received, m.sent, m.sentBytes} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) opened(t transport) { m.openedBy.WithLabelValues(t.String()).Inc() }

// String is the transport's name in negotiate.
func (t transport) String() string {
	return [...]string{"none", "WebSockets", "ServerSentEvents", "LongPolling"}[t]
}

// offered is the transport as a set of one.
func (t transport) offered() offer.Transports { return 1 << t >> 1 }
