package budget

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		reg := prometheus.NewPedanticRegistry()
		l := open(t, Config{Registerer: reg, Session: Cap{Bytes: 100}})
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		if _, err := take(t, l, "g", 10, 1000); !errors.Is(err, ErrSpent) {
			t.Error(err)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, label := range m.GetLabel() {
					name += " " + label.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"causeway_budget_refusals_total spent_member":   1,
			"causeway_budget_settled_bytes_total delivered": 60,
			"causeway_budget_leased_bytes_total":            60,
			"causeway_budget_events_total member":           2,
			"causeway_budget_grants":                        1,
			"causeway_budget_sessions":                      1,
			"causeway_budget_cap_bytes day":                 100 << 30,
			"causeway_budget_left_bytes day":                100<<30 - 60,
			"causeway_budget_spent_money month":             0,
			"causeway_budget_writes_total ok":               1,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s = %v (%v), want %v", name, v, ok, want)
			}
		}
		if _, err := New(Config{Registerer: reg}); err == nil {
			t.Error("two ledgers in one registry")
		}
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"a negative cap":      {Day: Cap{Bytes: -1}},
		"negative money":      {Month: Cap{Money: -1}},
		"a negative share":    {MemberShare: -1},
		"a share beyond":      {MemberShare: 101},
		"less than declared":  {DeclaredPercent: 99},
		"a negative price":    {Prices: map[string]int64{"": -1}},
		"a price too high":    {Prices: map[string]int64{"": maxPrice + 1}},
		"a negative time":     {Retain: -1},
		"a negative limit":    {Limits: Limits{Grants: -1}},
		"a file for a folder": {Dir: "/dev/null"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
