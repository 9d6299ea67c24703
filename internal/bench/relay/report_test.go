package relay

import "testing"

func TestBars(t *testing.T) {
	m := func(sc Scenario, d Direction, of Subject, cpu, lost float64) Measurement {
		return Measurement{Scenario: sc, Path: Loopback, Direction: d, Subject: of, CPU: cpu, Lost: lost}
	}
	r := &Report{
		Packets: []Measurement{
			m(Bulk, Up, Causeway, 4, 0), m(Bulk, Up, Causeway, 9, 0), m(Bulk, Up, Causeway, 3, 0), m(Bulk, Up, Coturn, 10, 0),
			m(Bulk, Down, Causeway, 1, 0.02), m(Bulk, Down, Coturn, 10, 0), // it loses packets
			m(Paced, Up, Causeway, 14, 0), m(Paced, Up, Forwarder, 10, 0),
			m(Hairpin, Across, Causeway, 3, 0), m(Hairpin, Across, Coturn, 10, 0),
			{Scenario: Bulk, Path: Veth, Direction: Up, Subject: Causeway, CPU: 100},
		},
		Memory: []Memory{{Subject: Coturn, Each: 9}, {Subject: Causeway, Each: 3}},
		Setups: []SetUp{{Subject: Causeway, Allocations: 5000, Seconds: 5}, {Subject: Causeway, Allocations: 10, Seconds: 1}},
	}
	r.finish(Causeway)
	want := map[string]struct {
		value float64
		pass  bool
	}{
		"bulk_client_to_peer_vs_coturn":      {0.4, true},
		"bulk_peer_to_client_vs_coturn":      {0.1, false},
		"paced_client_to_peer_vs_forwarder":  {1.4, false},
		"hairpin_client_to_client_vs_coturn": {0.3, true},
		"idle_memory":                        {3, true},
		"setup_5000":                         {5, false},
	}
	measured := 0
	for _, b := range r.Bars {
		if b.Value == nil {
			continue
		}
		measured++
		if w, ok := want[b.Name]; !ok || *b.Value != w.value || *b.Pass != w.pass {
			t.Errorf("%s: %v %v, want %+v", b.Name, *b.Value, *b.Pass, w)
		}
	}
	if measured != len(want) || len(r.Bars) != 9 {
		t.Errorf("%d of %d bars have values, want %d of 9", measured, len(r.Bars), len(want))
	}
	if len(r.Ratios) != 4 {
		t.Errorf("ratios %v", r.Ratios)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]Config{
		"scenario": {Scenarios: []Scenario{"x"}}, "path": {Paths: []Path{"x"}}, "rounds": {Rounds: -1}, "allocations": {Allocations: 1 << 20}, "size": {Size: 3},
	} {
		if c.Validate() == nil {
			t.Errorf("a wrong %s was taken", name)
		}
	}
	if err := (&Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
