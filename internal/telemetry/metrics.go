package telemetry

import (
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// metricData is the API's item for a value.
type metricData struct {
	Version    int               `json:"ver"`
	Metrics    []dataPoint       `json:"metrics"`
	Properties map[string]string `json:"properties,omitempty"`
}

type dataPoint struct {
	Name  string  `json:"name"`
	Kind  int     `json:"kind"` // 0: a single measurement
	Value float64 `json:"value"`
	Count int     `json:"count"`
}

// measure sends what has become of the metrics: of counters what was added since the last time, if
// anything, of gauges their values. Of histograms the count and the sum are sent as counters.
func (c *Client) measure() {
	if c.cfg.Gatherer == nil {
		return
	}
	families, err := c.cfg.Gatherer.Gather() // what could be gathered comes with the error
	if err != nil && c.cfg.Failed != nil {
		c.cfg.Failed(err)
	}
	now := time.Now()
	left := maxMetrics
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for suffix, v := range valuesOf(f.GetType(), m) {
				if left--; left < 0 {
					return
				}
				c.measured(now, f.GetName()+suffix, m, f.GetType() != dto.MetricType_GAUGE, v)
			}
		}
	}
}

func valuesOf(kind dto.MetricType, m *dto.Metric) map[string]float64 {
	switch kind {
	case dto.MetricType_COUNTER:
		return map[string]float64{"": m.GetCounter().GetValue()}
	case dto.MetricType_GAUGE:
		return map[string]float64{"": m.GetGauge().GetValue()}
	case dto.MetricType_HISTOGRAM:
		return map[string]float64{"_count": float64(m.GetHistogram().GetSampleCount()), "_sum": m.GetHistogram().GetSampleSum()}
	}
	return nil
}

func (c *Client) measured(at time.Time, name string, m *dto.Metric, adds bool, v float64) {
	properties := map[string]string{}
	id := name
	for _, l := range m.GetLabel() {
		properties[l.GetName()] = l.GetValue()
		id += "\n" + l.GetName() + "=" + l.GetValue()
	}
	if adds {
		v, c.before[id] = v-c.before[id], v
		if v == 0 {
			return
		}
	} else if strings.HasPrefix(name, "go_") && name != "go_goroutines" {
		return // the runtime's many, which nobody looks at there
	}
	c.put("Metric", at, span{}, "", metricData{2, []dataPoint{{name, 0, v, 1}}, properties})
}
