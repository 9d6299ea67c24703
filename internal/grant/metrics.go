package grant

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	pairs   prometheus.Gauge
	minted  prometheus.Counter
	refused *prometheus.CounterVec
	failed  *prometheus.CounterVec
	moves   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		pairs:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_grant_pairs", Help: "Pairs of members that may use a relay."}),
		minted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_grant_minted_total", Help: "Relay credentials given out."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_grant_refused_total", Help: "Requests for a relay that were refused, by reason."}, []string{"reason"}),
		failed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_grant_failed_total", Help: "Renewals and revocations that did not reach the relay, by what they were."}, []string{"what"}),
		moves:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_grant_moves_total", Help: "Pairs whose relay went away: moved to another, or why not."}, []string{"result"}),
	}
	for _, reason := range []string{"absent", "limited", "no_relay", "spent", "short", "failed", "full"} {
		m.refused.WithLabelValues(reason)
	}
	for _, what := range []string{"renew", "revoke", "busy"} {
		m.failed.WithLabelValues(what)
	}
	for _, result := range []string{"moved", "no_relay", "spent", "failed"} {
		m.moves.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(m.pairs, m.minted, m.refused, m.failed, m.moves)
	}
	return m
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrAbsent):
		return "absent"
	case errors.Is(err, ErrLimited):
		return "limited"
	case errors.Is(err, ErrNoRelay):
		return "no_relay"
	case errors.Is(err, ErrShort):
		return "short"
	case errors.Is(err, ErrSpent):
		return "spent"
	}
	return "failed"
}
