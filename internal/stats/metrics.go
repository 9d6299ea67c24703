package stats

import "github.com/prometheus/client_golang/prometheus"

// metrics shows the counters of this process, since its start.
type metrics struct {
	recorder *Recorder
	writes   *prometheus.CounterVec
	dropped  *prometheus.Desc
	families []*prometheus.Desc
}

func newMetrics(r *Recorder) metrics {
	m := metrics{
		recorder: r,
		writes:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_stats_writes_total", Help: "Writes to the database, by result."}, []string{"result"}),
		dropped:  prometheus.NewDesc("causeway_stats_dropped_total", "Counts that were dropped, as the database was away for too long.", nil, nil),
	}
	for _, result := range []string{"ok", "failed"} {
		m.writes.WithLabelValues(result)
	}
	for _, f := range families {
		var labels []string
		if f.label != "" {
			labels = []string{f.label}
		}
		m.families = append(m.families, prometheus.NewDesc("causeway_stats_"+f.name+"_total", f.help, labels, nil))
	}
	return m
}

func (m metrics) wrote(err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.writes.WithLabelValues(result).Inc()
}

// Describe implements prometheus.Collector.
func (m metrics) Describe(to chan<- *prometheus.Desc) {
	m.writes.Describe(to)
	to <- m.dropped
	for _, d := range m.families {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	m.writes.Collect(to)
	to <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(m.recorder.dropped.Load()))
	c := 0
	next := func(d *prometheus.Desc, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(m.recorder.total[c].Load()), labels...)
		c++
	}
	for i, f := range families {
		if len(f.kinds) == 0 {
			next(m.families[i])
		}
		for _, k := range f.kinds {
			next(m.families[i], k)
		}
	}
}
