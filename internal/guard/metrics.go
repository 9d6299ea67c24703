package guard

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/guard/work"
)

// metrics of a Guard. Counters are found once, as refusing must be cheap.
type metrics struct {
	admittedBy, refusedBy *prometheus.CounterVec
	admitted              [actions]prometheus.Counter
	refused               [actions][reasons]prometheus.Counter
	solved, unsolved      prometheus.Counter
}

func opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "causeway", Subsystem: "guard", Name: name, Help: help}
}

func newMetrics() metrics {
	m := metrics{
		admittedBy: prometheus.NewCounterVec(prometheus.CounterOpts(opts("admitted_total", "What was admitted, by action.")), []string{"action"}),
		refusedBy:  prometheus.NewCounterVec(prometheus.CounterOpts(opts("refused_total", "What was refused, by action and reason.")), []string{"action", "reason"}),
		solved:     prometheus.NewCounter(prometheus.CounterOpts(opts("work_solved_total", "Proofs of work that were accepted."))),
		unsolved:   prometheus.NewCounter(prometheus.CounterOpts(opts("work_wrong_total", "Proofs of work that were wrong, late, or another client's."))),
	}
	for a := range actions {
		m.admitted[a] = m.admittedBy.WithLabelValues(a.String())
		for r := range reasons {
			m.refused[a][r] = m.refusedBy.WithLabelValues(a.String(), r.String())
		}
	}
	return m
}

// register adds the metrics and the state of g.
func (m *metrics) register(r prometheus.Registerer, g *Guard) error {
	all := []prometheus.Collector{m.admittedBy, m.refusedBy, m.solved, m.unsolved}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		o := prometheus.GaugeOpts(opts(name, help))
		o.ConstLabels = labels
		all = append(all, prometheus.NewGaugeFunc(o, value))
	}
	for a, p := range g.pressure {
		gauge("work_hashes", "What a proof of work costs now, in hashes, by action; 0: none is asked for.",
			prometheus.Labels{"action": Action(a).String()}, func() float64 { return float64(p.Each()) * work.Parts })
	}
	gauge("blocks", "Blocked address prefixes.", nil, func() float64 { return float64(len(g.Blocks())) })
	gauge("networks", "Places in the table of networks.", nil, func() float64 { return float64(g.prefixes.Len()) })
	gauge("sessions", "Places in the table of sessions.", nil, func() float64 { return float64(g.sessions.Len()) })
	gauge("stage", "What has ended since money is short: 0 nothing, 1 the relay for new sessions, 2 new sessions.", nil,
		func() float64 { return float64(g.spend.stage.Load()) })
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("guard: %w", err)
		}
	}
	return nil
}
