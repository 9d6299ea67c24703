package budget

import "github.com/prometheus/client_golang/prometheus"

// reason says why something was refused or dropped.
type reason string

const (
	refusedBusy    reason = "busy"    // all is leased out
	refusedUnknown reason = "unknown" // no such grant
	refusedFull    reason = "full"    // Limits
	refusedFile    reason = "file"    // it could not be written
	refusedOverrun reason = "overrun" // more settled than leased; it counts
	droppedEvent   reason = "event"   // nobody read them
	failedUsage    reason = "usage"   // a provider did not answer
)

// refusedSpent are the reasons for a spent account, by level.
var refusedSpent = [levels]reason{"spent_credential", "spent_member", "spent_session", "spent_day", "spent_month"}

type metrics struct {
	leases, leased, lost prometheus.Counter
	bytes                *prometheus.CounterVec
	refusals             *prometheus.CounterVec
	events               *prometheus.CounterVec
	syncs                *prometheus.CounterVec
}

func newMetrics() *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "causeway", Subsystem: "budget", Name: name, Help: help}
	}
	return &metrics{
		leases:   prometheus.NewCounter(opts("leases_total", "Leases given.")),
		leased:   prometheus.NewCounter(opts("leased_bytes_total", "Bytes leased.")),
		lost:     prometheus.NewCounter(opts("lost_bytes_total", "Leased bytes that were outstanding when a grant was closed, and counted as spent.")),
		bytes:    prometheus.NewCounterVec(opts("settled_bytes_total", "Bytes settled, by kind; charged ones are delivered, too."), []string{"kind"}),
		refusals: prometheus.NewCounterVec(opts("refusals_total", "What was refused, dropped or failed, by reason."), []string{"reason"}),
		events:   prometheus.NewCounterVec(opts("events_total", "Warnings and cuts, by level."), []string{"level"}),
		syncs:    prometheus.NewCounterVec(opts("writes_total", "Writes of the file, by result."), []string{"result"}),
	}
}

// reasons are all of them: there from the start, so that the first one is seen as an increase.
func (m *metrics) reasons() {
	for _, r := range append(refusedSpent[:], refusedBusy, refusedUnknown, refusedFull, refusedFile, refusedOverrun, droppedEvent, failedUsage) {
		m.refusals.WithLabelValues(string(r))
	}
}

// register adds the metrics and the state of l.
func (m *metrics) register(r prometheus.Registerer, l *Ledger) error {
	m.reasons()
	all := []prometheus.Collector{m.leases, m.leased, m.lost, m.bytes, m.refusals, m.events, m.syncs}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "causeway", Subsystem: "budget", Name: name, Help: help, ConstLabels: labels}, value))
	}
	for i, level := range []Level{Day, Month} {
		labels := prometheus.Labels{"level": level.String()}
		status := func() Status {
			day, month := l.Status()
			return [2]Status{day, month}[i]
		}
		gauge("cap_bytes", "What may be relayed, by level.", labels, func() float64 { return float64(status().Cap) })
		gauge("left_bytes", "What is left of it.", labels, func() float64 { return float64(status().Left) })
		gauge("spent_money", "What was spent, in units of the currency, by level.", labels, func() float64 { return float64(status().MoneyDelivered) / 1e6 })
	}
	gauge("sessions", "Sessions with an account.", nil, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.sessions))
	})
	gauge("grants", "Grants that are open.", nil, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.grants))
	})
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) refuse(r reason) { m.refusals.WithLabelValues(string(r)).Inc() }

func (m *metrics) settled(delivered, charged, returned int64) {
	m.bytes.WithLabelValues("delivered").Add(float64(delivered))
	m.bytes.WithLabelValues("charged").Add(float64(charged))
	m.bytes.WithLabelValues("returned").Add(float64(returned))
}

func (m *metrics) writes(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.syncs.WithLabelValues(result).Inc()
}
