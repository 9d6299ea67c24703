package rest

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// handlerMetrics counts requests of the data plane. Its labels are closed sets:
// operations are those of route.go, statuses those that the package writes.
type handlerMetrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
}

func newHandlerMetrics(r prometheus.Registerer) (*handlerMetrics, error) {
	m := &handlerMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_rest_requests_total", Help: "Data plane requests by operation and HTTP status.",
		}, []string{"operation", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_rest_refused_total", Help: "Refused data plane requests by reason.",
		}, []string{"reason"}),
	}
	return m, register(r, m.requests, m.refused)
}

func register(r prometheus.Registerer, all ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (m *handlerMetrics) request(operation string, status int) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
}

func (m *handlerMetrics) refuse(status int) { m.refused.WithLabelValues(refusal(status)).Inc() }

func refusal(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method"
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong:
		return "too_large"
	case http.StatusUnsupportedMediaType:
		return "media_type"
	case http.StatusTooManyRequests:
		return "overloaded"
	case http.StatusNotImplemented:
		return "not_implemented"
	case http.StatusGatewayTimeout:
		return "timeout"
	case http.StatusInternalServerError:
		return "internal"
	}
	return "bad_request"
}

// webhookMetrics says what becomes of events, and why.
type webhookMetrics struct {
	events   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	retries  prometheus.Counter
	opened   prometheus.Counter
	inFlight prometheus.Gauge
}

func newWebhookMetrics(r prometheus.Registerer) (*webhookMetrics, error) {
	m := &webhookMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_upstream_events_total", Help: "Events for upstreams by category and outcome: ok, or the reason of the failure.",
		}, []string{"category", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "causeway_upstream_seconds", Help: "Time of an event from its begin to the upstream's answer, waiting and retries included.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 100},
		}, []string{"category"}),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_upstream_retries_total", Help: "Repeated requests to upstreams."}),
		opened:   prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_upstream_breaker_opened_total", Help: "How often an upstream's breaker opened."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_upstream_requests_in_flight", Help: "Requests to upstreams under way."}),
	}
	return m, register(r, m.events, m.duration, m.retries, m.opened, m.inFlight)
}

func (m *webhookMetrics) outcome(category string, r reason) {
	m.events.WithLabelValues(category, string(r)).Inc()
}
