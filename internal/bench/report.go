package bench

import (
	"time"

	"causeway/internal/bench/measure"
)

// Subject is what was measured.
type Subject string

// The subjects.
const (
	Causeway Subject = "causeway"
	PeerJS   Subject = "peerjs"
	Copy     Subject = "copy"    // a bare Go TCP copy of the same messages
	Upgrade  Subject = "upgrade" // a bare net/http request and WebSocket upgrade
	Loop     Subject = "loop"    // writing the same frame to the same sockets in a loop
)

// Report is the result of Run, and the JSON that is printed.
type Report struct {
	Benchmark   string            `json:"benchmark"`
	Version     string            `json:"version,omitempty"`
	Started     time.Time         `json:"started"`
	Seconds     float64           `json:"seconds"`
	Machine     measure.Machine   `json:"machine"`
	Connects    []Connect         `json:"connect"`
	Idle        *Memory           `json:"idle,omitempty"`
	Messages    []Measurement     `json:"messages"`
	Skipped     []measure.Skipped `json:"skipped"`
	Bars        []measure.Bar     `json:"bars"`
	Descriptors int               `json:"descriptor_limit"`
}

// Connect is what it cost to open connections: for the hub negotiate, WebSocket
// and handshake, on two TCP connections as browsers do it.
type Connect struct {
	Subject     Subject `json:"subject"`
	Round       int     `json:"round"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	CPU         float64 `json:"cpu_us_per_connect"`
}

// Memory is what idle connections cost, resident.
type Memory struct {
	Connections int     `json:"connections"`
	Before      float64 `json:"rss_before_mib"`
	AfterAll    float64 `json:"rss_at_last_connect_mib"`
	After       float64 `json:"rss_settled_mib"`
	Settled     float64 `json:"settled_after_s"`
	PerConn     float64 `json:"kib_per_connection"`
}

// Latency is in milliseconds, from when a message was due to its delivery.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Measurement is one run of messages. CPU is the server's but where it says driver.
type Measurement struct {
	Scenario      Scenario `json:"scenario"`
	Subject       Subject  `json:"subject"`
	Round         int      `json:"round"`
	Size          int      `json:"payload_bytes"`
	Connections   int      `json:"connections"`
	Recipients    int      `json:"recipients"` // of each message
	TargetRate    float64  `json:"target_per_s,omitempty"`
	Rate          float64  `json:"messages_per_s"`
	Seconds       float64  `json:"seconds"`
	CPU           float64  `json:"cpu_us_per_message"`
	CPUDelivery   float64  `json:"cpu_us_per_delivery"`
	PerCPUSecond  float64  `json:"messages_per_cpu_s"`
	ServerBusy    float64  `json:"server_cpu_share"` // 1 is one CPU
	DriverBusy    float64  `json:"driver_cpu_share"`
	DriverLate    float64  `json:"driver_late_max_ms"`
	Latency       Latency  `json:"latency_ms"`
	Deliveries    uint64   `json:"deliveries"`
	Lost          int64    `json:"lost"`
	FailedConns   int      `json:"failed_connections"`
	ResidentAfter float64  `json:"rss_mib"`
}

// ratio is a figure of the hub's divided by a yardstick's.
type ratio struct {
	scenario Scenario
	size     int
	of, to   Subject
	figure   func(Measurement) float64
}

// bars compares the report with what issue 3 asks for.
func (r *Report) bars() []measure.Bar {
	perMessage := func(m Measurement) float64 { return m.CPU }
	perSecond := func(m Measurement) float64 { return m.PerCPUSecond }
	perDelivery := func(m Measurement) float64 { return m.CPUDelivery }
	var idle, p99 *float64
	if r.Idle != nil {
		idle = &r.Idle.PerConn
	}
	unitClean := true
	for _, m := range r.Messages {
		if m.Scenario == Unit && m.Size == BigSize {
			v := m.Latency.P99
			p99 = &v
			unitClean = m.Lost == 0 && m.FailedConns == 0 && m.Rate > 0.98*m.TargetRate
		}
	}
	unit := measure.NewBar("echo_10000_p99", "ms", "<", 100, p99, "10 000 connections, 10 000 messages/s of 2 KB in and out; nothing lost, rate held")
	if unit.Pass != nil && !unitClean {
		*unit.Pass = false
	}
	memory := measure.NewBar("idle_memory", "KiB/connection", "<=", 8, idle, "resident memory of the server, settled; a Node ws server: 12")
	memory.Aim = 5
	return []measure.Bar{
		memory,
		measure.NewBar("send_vs_peerjs", "ratio", "<=", 0.75, r.ratio(ratio{Send, PeerSize, Causeway, PeerJS, perMessage}), "CPU per addressed message of 1.5 KB at 10 000/s"),
		measure.NewBar("send_vs_copy", "ratio", "<=", 1.6, r.ratio(ratio{Send, PeerSize, Causeway, Copy, perMessage}), "CPU per addressed message of 1.5 KB at 10 000/s"),
		measure.NewBar("saturated_vs_peerjs", "ratio", ">=", 2.5, r.ratio(ratio{Saturated, PeerSize, Causeway, PeerJS, perSecond}), "addressed messages of 1.5 KB per CPU second"),
		measure.NewBar("connect_vs_upgrade", "ratio", "<=", 1.4, r.connectRatio(), "CPU per connect, negotiate and handshake included"),
		measure.NewBar("broadcast_vs_loop", "ratio", "<=", 1.5, r.ratio(ratio{Broadcast, BigSize, Causeway, Loop, perDelivery}), "CPU per recipient of a 2 KB broadcast"),
		unit,
	}
}

// ratio compares medians over the rounds; nil if a side was not measured.
func (r *Report) ratio(q ratio) *float64 {
	of := func(s Subject) (float64, bool) {
		var all []float64
		for _, m := range r.Messages {
			if m.Scenario == q.scenario && m.Size == q.size && m.Subject == s {
				all = append(all, q.figure(m))
			}
		}
		return measure.Median(all)
	}
	return measure.Divide(of(q.of))(of(q.to))
}

func (r *Report) connectRatio() *float64 {
	of := func(s Subject) (float64, bool) {
		var all []float64
		for _, c := range r.Connects {
			if c.Subject == s {
				all = append(all, c.CPU)
			}
		}
		return measure.Median(all)
	}
	return measure.Divide(of(Causeway))(of(Upgrade))
}
