package relay

import (
	"fmt"
	"time"

	"causeway/internal/bench/measure"
)

// Subject is what was measured.
type Subject string

// The subjects.
const (
	Causeway  Subject = "causeway"
	Given     Subject = "given" // a server that ran already, in the place of ours
	Coturn    Subject = "coturn"
	Forwarder Subject = "forwarder" // a bare Go UDP forwarder
)

// Scenario is something that can be measured.
type Scenario string

// The scenarios.
const (
	Setup   Scenario = "setup"   // making allocations, and their memory
	Bulk    Scenario = "bulk"    // trains on few allocations
	Paced   Scenario = "paced"   // single packets over 200 allocations
	Many    Scenario = "many"    // 1 000 allocations at 50 packets a second
	Hairpin Scenario = "hairpin" // bulk between two allocations
)

// Scenarios are all of them, in the order in which they run.
func Scenarios() []Scenario { return []Scenario{Setup, Bulk, Paced, Many, Hairpin} }

// Path is what lies between the driver and the server.
type Path string

// The paths.
const (
	Loopback Path = "loopback"
	Veth     Path = "veth"
)

// Paths are all of them.
func Paths() []Path { return []Path{Loopback, Veth} }

// Direction is where packets go.
type Direction string

// The directions.
const (
	Up     Direction = "client_to_peer"
	Down   Direction = "peer_to_client"
	Across Direction = "client_to_client"
)

// Report is the result of Run, and the JSON that is printed.
type Report struct {
	Benchmark   string            `json:"benchmark"`
	Version     string            `json:"version,omitempty"`
	Started     time.Time         `json:"started"`
	Seconds     float64           `json:"seconds"`
	Machine     measure.Machine   `json:"machine"`
	Coturn      string            `json:"coturn,omitempty"` // its version
	Setups      []SetUp           `json:"setup"`
	Memory      []Memory          `json:"memory"`
	Packets     []Measurement     `json:"packets"`
	Ratios      []Ratio           `json:"ratios"`
	Skipped     []measure.Skipped `json:"skipped"`
	Bars        []measure.Bar     `json:"bars"`
	Descriptors int               `json:"descriptor_limit"`
}

// SetUp is what making allocations cost: two requests each, as a client does not know
// the nonce.
type SetUp struct {
	Subject     Subject `json:"subject"`
	Round       int     `json:"round"`
	Allocations int     `json:"allocations"`
	Seconds     float64 `json:"seconds"`
	CPU         float64 `json:"cpu_us_per_allocation"`
}

// Memory is what idle allocations cost, resident: so without what the kernel keeps
// for their sockets.
type Memory struct {
	Subject     Subject `json:"subject"`
	Allocations int     `json:"allocations"`
	Before      float64 `json:"rss_before_mib"`
	After       float64 `json:"rss_settled_mib"`
	Bound       float64 `json:"rss_bound_settled_mib"` // with a channel each
	Each        float64 `json:"kib_per_allocation"`
	EachBound   float64 `json:"kib_per_allocation_with_channel"`
}

// Measurement is one run of packets. CPU is the server's but where it says driver.
type Measurement struct {
	Scenario      Scenario  `json:"scenario"`
	Path          Path      `json:"path"`
	Direction     Direction `json:"direction"`
	Subject       Subject   `json:"subject"`
	Round         int       `json:"round"`
	Allocations   int       `json:"allocations"`
	Size          int       `json:"payload_bytes"`
	TargetRate    float64   `json:"target_per_s"`
	Rate          float64   `json:"sent_per_s"`
	Sent          uint64    `json:"sent"`
	Delivered     uint64    `json:"delivered"`
	Lost          float64   `json:"lost_share"`
	DriverDropped uint64    `json:"driver_dropped"`
	Seconds       float64   `json:"seconds"`
	CPU           float64   `json:"cpu_s_per_million"`
	CPUGiB        float64   `json:"cpu_s_per_gib"`
	ServerBusy    float64   `json:"server_cpu_share"` // 1 is one CPU
	DriverBusy    float64   `json:"driver_cpu_share"`
	DriverLate    float64   `json:"driver_late_max_ms"`
}

// Ratio is our CPU per packet divided by another's, medians of the rounds.
type Ratio struct {
	Scenario  Scenario  `json:"scenario"`
	Path      Path      `json:"path"`
	Direction Direction `json:"direction"`
	To        Subject   `json:"to"`
	Value     float64   `json:"value"`
}

// finish works out ratios and bars for the subject that is ours.
func (r *Report) finish(ours Subject) {
	for _, sc := range Scenarios() {
		for _, p := range Paths() {
			for _, d := range []Direction{Up, Down, Across} {
				for _, other := range []Subject{Coturn, Forwarder} {
					if v := r.ratio(sc, p, d, ours, other); v != nil {
						r.Ratios = append(r.Ratios, Ratio{sc, p, d, other, measure.Rounded(*v, 3)})
					}
				}
			}
		}
	}
	type limit struct {
		scenario Scenario
		d        Direction
		to       Subject
		most     float64
		aim      float64
		detail   string
	}
	for _, l := range []limit{
		{Bulk, Up, Coturn, 0.45, 0, "CPU per GiB, bursts of 32 on 4 allocations, 100 000 packets/s"},
		{Bulk, Down, Coturn, 0.45, 0, "CPU per GiB, bursts of 32 on 4 allocations, 100 000 packets/s"},
		{Paced, Up, Forwarder, 1.3, 0, "CPU per packet, single packets, 20 000/s over 200 allocations"},
		{Paced, Down, Forwarder, 1.3, 0, "CPU per packet, single packets, 20 000/s over 200 allocations"},
		{Many, Up, Coturn, 1.2, 1, "CPU per packet, 1 000 allocations at 50 packets/s each"},
		{Many, Down, Coturn, 1.2, 1, "CPU per packet, 1 000 allocations at 50 packets/s each"},
		{Hairpin, Across, Coturn, 0.3, 0, "CPU per payload, bulk between two allocations"},
	} {
		name := fmt.Sprintf("%s_%s_vs_%s", l.scenario, l.d, l.to)
		b := measure.NewBar(name, "ratio", "<=", l.most, r.ratio(l.scenario, Loopback, l.d, ours, l.to), l.detail+", loopback; loss at most 1 %, or as much as the other's")
		b.Aim = l.aim
		// On a busy machine every server loses packets, for want of CPU.
		if b.Pass != nil && r.loss(l.scenario, Loopback, l.d, ours) > max(0.01, r.loss(l.scenario, Loopback, l.d, l.to)) {
			*b.Pass = false
		}
		r.Bars = append(r.Bars, b)
	}
	var memory *float64
	for _, m := range r.Memory {
		if m.Subject == ours {
			memory = &m.Each
		}
	}
	var took []float64
	for _, s := range r.Setups {
		if s.Subject == ours && s.Allocations >= fullSetup {
			took = append(took, s.Seconds)
		}
	}
	var seconds *float64
	if v, ok := measure.Median(took); ok {
		seconds = &v
	}
	r.Bars = append(r.Bars,
		measure.NewBar("idle_memory", "KiB/allocation", "<=", 4, memory, "resident memory of the server, settled"),
		measure.NewBar("setup_5000", "s", "<", 5, seconds, "5 000 allocations"))
}

// fullSetup is how many allocations the bar of setting up is for.
const fullSetup = 5000

// figures are those of all rounds.
func (r *Report) figures(sc Scenario, p Path, d Direction, of Subject, figure func(Measurement) float64) []float64 {
	var all []float64
	for _, m := range r.Packets {
		if m.Scenario == sc && m.Path == p && m.Direction == d && m.Subject == of {
			all = append(all, figure(m))
		}
	}
	return all
}

func (r *Report) ratio(sc Scenario, p Path, d Direction, of, to Subject) *float64 {
	cpu := func(m Measurement) float64 { return m.CPU }
	return measure.Divide(measure.Median(r.figures(sc, p, d, of, cpu)))(measure.Median(r.figures(sc, p, d, to, cpu)))
}

func (r *Report) loss(sc Scenario, p Path, d Direction, of Subject) float64 {
	v, _ := measure.Median(r.figures(sc, p, d, of, func(m Measurement) float64 { return m.Lost }))
	return v
}
