package bench

import "testing"

func TestBars(t *testing.T) {
	m := func(sc Scenario, su Subject, size int, cpu float64) Measurement {
		return Measurement{Scenario: sc, Subject: su, Size: size, CPU: cpu, CPUDelivery: cpu, PerCPUSecond: 1e6 / cpu}
	}
	unit := Measurement{Scenario: Unit, Subject: Causeway, Size: BigSize, TargetRate: 10_000, Rate: 9990, Latency: Latency{P99: 99}}
	r := &Report{
		Idle:     &Memory{PerConn: 8},
		Connects: []Connect{{Subject: Causeway, CPU: 300}, {Subject: Causeway, CPU: 100}, {Subject: Causeway, CPU: 140}, {Subject: Upgrade, CPU: 100}},
		Messages: []Measurement{
			m(Send, Causeway, PeerSize, 30), m(Send, Causeway, PeerSize, 99), m(Send, Causeway, PeerSize, 10), m(Send, Causeway, 256, 1),
			m(Send, PeerJS, PeerSize, 40), m(Send, Copy, PeerSize, 15),
			m(Saturated, Causeway, PeerSize, 10), m(Saturated, PeerJS, PeerSize, 25),
			m(Broadcast, Causeway, BigSize, 3), m(Broadcast, Loop, BigSize, 1), m(Broadcast, Loop, BigSize, 3),
			unit,
		},
	}
	want := map[string]struct {
		value float64
		pass  bool
	}{
		"idle_memory":         {8, true},
		"send_vs_peerjs":      {0.75, true},
		"send_vs_copy":        {2, false},
		"saturated_vs_peerjs": {2.5, true},
		"connect_vs_upgrade":  {1.4, true},
		"broadcast_vs_loop":   {1.5, true},
		"echo_10000_p99":      {99, true},
	}
	bars := r.bars()
	if len(bars) != len(want) {
		t.Fatalf("%d bars", len(bars))
	}
	for _, b := range bars {
		w := want[b.Name]
		if b.Value == nil || b.Pass == nil {
			t.Fatalf("%s was not measured", b.Name)
		}
		if d := *b.Value - w.value; d > 1e-9 || d < -1e-9 || *b.Pass != w.pass {
			t.Errorf("%s = %v, %v; want %+v", b.Name, *b.Value, *b.Pass, w)
		}
	}
	r.Messages[len(r.Messages)-1].Lost = 1
	for _, b := range r.bars() {
		if b.Name == "echo_10000_p99" && *b.Pass {
			t.Error("a bar is held with messages lost")
		}
	}
	for _, b := range (&Report{}).bars() {
		if b.Value != nil || b.Pass != nil {
			t.Errorf("%s is held by nothing", b.Name)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Config{Sizes: []int{256}, Scenarios: Scenarios()}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]Config{
		"size":     {Sizes: []int{8}},
		"scenario": {Scenarios: []Scenario{"nonsense"}},
		"pid":      {ConnectionString: "x"},
		"count":    {Connections: -1},
		"duration": {Duration: -1},
	} {
		if c.Validate() == nil {
			t.Errorf("%s passes", name)
		}
	}
}
