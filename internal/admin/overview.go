package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"causeway/internal/httpx"
)

// Overview is what the page shows.
type Overview struct {
	Version  string    `json:"version"`
	Started  float64   `json:"started"` // Unix seconds
	Numbers  []Number  `json:"numbers"`
	Refusals []Refusal `json:"refusals"` // the most frequent first
	Budgets  []Account `json:"budgets"`
	Sessions []Session `json:"sessions"`
	// Hidden is how many sessions there are besides those.
	Hidden int     `json:"hidden"`
	Blocks []Block `json:"blocks"`
}

// Number is one of the metrics that matter at a glance. The page takes differences of those
// that only grow, for rates.
type Number struct {
	Name  string  `json:"name"` // a metric, with its labels where there are several
	Value float64 `json:"value"`
}

// Refusal is how often something was refused since the start.
type Refusal struct {
	Part   string  `json:"part"` // of the program: hub, relay, grant, budget, guard, …
	Reason string  `json:"reason"`
	Count  float64 `json:"count"`
}

// shown are the metrics of Number: gauges and counters, summed over labels that are not named.
var shown = [...]struct{ metric, label string }{
	{"causeway_hub_connections", "service"},
	{"causeway_hub_messages_sent_total", "service"},
	{"causeway_relay_allocations", ""},
	{"causeway_relay_bytes_total", "direction"},
	{"causeway_relay_packets_total", "direction"},
	{"causeway_grant_pairs", ""},
	{"causeway_grant_minted_total", ""},
	{"go_memstats_heap_alloc_bytes", ""},
	{"process_resident_memory_bytes", ""},
	{"process_cpu_seconds_total", ""},
	{"go_goroutines", ""},
}

// refusalWords are how names of counters of refusals end.
var refusalWords = [...]string{"_refused_total", "_refusals_total", "_rejected_total", "_drops_total", "_dropped_total", "_denied_total"}

func (a *Admin) overview(w http.ResponseWriter, _ *http.Request) error {
	families, err := a.cfg.Metrics.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	o := Overview{Version: a.cfg.Version, Budgets: a.cfg.Budgets(), Blocks: a.cfg.Blocks.List(), Sessions: a.cfg.Sessions.List()}
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
		o.Refusals = append(o.Refusals, refusals(f)...)
	}
	o.Refusals = once(o.Refusals, byName["causeway_guard_refused_total"])
	for _, s := range shown {
		o.Numbers = append(o.Numbers, numbers(byName[s.metric], s.label)...)
	}
	if f := byName["process_start_time_seconds"]; f != nil {
		o.Started = value(f.GetMetric()[0])
	}
	slices.SortFunc(o.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Part+a.Reason, b.Part+b.Reason))
	})
	slices.SortFunc(o.Sessions, func(a, b Session) int {
		return cmp.Or(cmp.Compare(b.Relayed, a.Relayed), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.ID, b.ID))
	})
	if n := len(o.Sessions); n > Shown {
		o.Sessions, o.Hidden = o.Sessions[:Shown], n-Shown
	}
	return httpx.WriteJSON(w, http.StatusOK, o)
}

func value(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() }

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// numbers sums a family by a label. An unknown family has none.
func numbers(f *dto.MetricFamily, label string) []Number {
	if f == nil {
		return nil
	}
	sums := map[string]float64{}
	for _, m := range f.GetMetric() {
		sums[labelOf(m, label)] += value(m)
	}
	var list []Number
	for v, sum := range sums {
		name := f.GetName()
		if v != "" {
			name += "{" + v + "}"
		}
		list = append(list, Number{name, sum})
	}
	slices.SortFunc(list, func(a, b Number) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// once leaves out what the statistics count of other parts' refusals: the guard's have the same reasons, the
// grants' are called relay_ there. What is left of them is signaling's own.
func once(list []Refusal, guard *dto.MetricFamily) []Refusal {
	guards := map[string]bool{}
	for _, m := range guard.GetMetric() {
		guards[labelOf(m, "reason")] = true
	}
	kept := list[:0]
	for _, r := range list {
		if r.Part == "stats" && r.Reason != "" {
			if guards[r.Reason] || strings.HasPrefix(r.Reason, "relay_") {
				continue
			}
			r.Part = "signaling"
		}
		kept = append(kept, r)
	}
	return kept
}

// refusals sums a family by its reasons, if it counts refusals.
func refusals(f *dto.MetricFamily) []Refusal {
	name, ours := strings.CutPrefix(f.GetName(), "causeway_")
	i := slices.IndexFunc(refusalWords[:], func(w string) bool { return strings.HasSuffix(name, w) })
	if !ours || i < 0 {
		return nil
	}
	part, _, _ := strings.Cut(name, "_")
	sums := map[string]float64{}
	for _, m := range f.GetMetric() {
		sums[cmp.Or(labelOf(m, "reason"), labelOf(m, "verdict"))] += value(m)
	}
	var list []Refusal
	for reason, sum := range sums {
		if sum > 0 {
			list = append(list, Refusal{part, reason, sum})
		}
	}
	return list
}
