package plan

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Scenario is what a click does, how many there are, and who is paid for it.
type Scenario struct {
	Title         string  `yaml:"title"`
	Note          string  `yaml:"note"`
	Reconstructed bool    `yaml:"reconstructed"` // ours, to explain a result that was published without its assumptions
	Clicks        float64 `yaml:"clicks"`        // transfer sessions a month

	Transfer `yaml:",inline"`
	Work     `yaml:",inline"`
	Standing `yaml:",inline"`

	Use   map[Service]string `yaml:"use"`   // the offer, by service
	Count map[Service]int    `yaml:"count"` // units of it; 1 by default

	Own          []Own   `yaml:"own"`
	OperatorRate float64 `yaml:"operator_rate"` // dollars an hour
	Ads          Ads     `yaml:"ads"`
}

// Transfer is what a click sends.
type Transfer struct {
	FileMB     float64    `yaml:"file_mb"`    // payload
	Overhead   float64    `yaml:"overhead"`   // headers and repetitions, as a share of the payload
	Acks       float64    `yaml:"acks"`       // what flows back, as a share of the payload
	Relayed    float64    `yaml:"relayed"`    // share of the payload that takes the relay
	Allocation Allocation `yaml:"allocation"` // who holds the relayed address
}

// Allocation says which side is the relay's TURN client.
type Allocation string

// The sides. With both, each peer has an allocation and the relay talks to itself.
const (
	BySender   Allocation = "sender"
	ByReceiver Allocation = "receiver"
	ByBoth     Allocation = "both"
)

// Allocations lists them.
func Allocations() []Allocation { return []Allocation{BySender, ByReceiver, ByBoth} }

// Work is what a click makes the backend do.
type Work struct {
	Messages    float64 `yaml:"messages"`   // sent by the realtime service, in units of 2 KB
	Executions  float64 `yaml:"executions"` // of functions
	MemoryGB    float64 `yaml:"memory_gb"`  // of an execution
	Seconds     float64 `yaml:"seconds"`    // billed for an execution
	PageMB      float64 `yaml:"page_mb"`
	Requests    float64 `yaml:"requests"`     // HTTP requests through a front or to containers
	Queries     float64 `yaml:"dns_queries"`  // DNS questions that a traffic manager answers
	SecretReads float64 `yaml:"secret_reads"` // operations on the vault; none when secrets are cached
	LogKB       float64 `yaml:"log_kb"`
	EgressMB    float64 `yaml:"egress_mb"` // from the cloud, beside pages and relay
}

// Standing is what is there without any click.
type Standing struct {
	StoredGB float64 `yaml:"stored_gb"`
	Ready    float64 `yaml:"ready"` // always-ready instances of functions
	VCPU     float64 `yaml:"vcpu"`  // of each container
	GiB      float64 `yaml:"gib"`
}

// Own is a way to run relays of one's own.
type Own struct {
	Name     string  `yaml:"name"`
	Machine  string  `yaml:"machine"` // an offer; or none, and the cost stands in Month
	Machines int     `yaml:"machines"`
	Month    float64 `yaml:"month"` // dollars
	Hours    float64 `yaml:"operator_hours"`
}

// Ads is what advertisements bring.
type Ads struct {
	RPM    float64 `yaml:"rpm"`   // dollars for a thousand page views that show them
	Views  float64 `yaml:"views"` // page views a click
	Shown  float64 `yaml:"shown"` // share of views where nothing blocks them
	Origin `yaml:",inline"`
}

// ReadScenario reads and checks a scenario.
func ReadScenario(r io.Reader) (Scenario, error) {
	var s Scenario
	if err := decode(r, &s); err != nil {
		return Scenario{}, fmt.Errorf("read scenario: %w", err)
	}
	if s.Allocation == "" {
		s.Allocation = ByReceiver
	}
	if err := s.Validate(); err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return s, nil
}

// Validate checks a scenario by itself; Estimate checks that its offers are in the book.
func (s *Scenario) Validate() error {
	var p problems
	p.within("clicks", s.Clicks, 1, most)
	for what, share := range map[string]float64{"overhead": s.Overhead, "acks": s.Acks, "relayed": s.Relayed, "ads.shown": s.Ads.Shown} {
		p.within(what, share, 0, 1)
	}
	for what, x := range map[string]float64{
		"file_mb": s.FileMB, "messages": s.Work.Messages, "executions": s.Work.Executions, "memory_gb": s.MemoryGB, "seconds": s.Seconds, "page_mb": s.PageMB,
		"requests": s.Work.Requests, "dns_queries": s.Work.Queries, "secret_reads": s.SecretReads, "log_kb": s.LogKB, "egress_mb": s.EgressMB,
		"stored_gb": s.Standing.StoredGB, "ready": s.Ready, "vcpu": s.VCPU, "gib": s.GiB, "operator_rate": s.OperatorRate, "ads.rpm": s.Ads.RPM, "ads.views": s.Ads.Views,
	} {
		p.within(what, x, 0, 1e9)
	}
	if !slices.Contains(Allocations(), s.Allocation) {
		p.add("allocation: %q is not one of %s", s.Allocation, join(Allocations()))
	}
	for service := range s.Use {
		if !slices.Contains(services(), service) {
			p.add("use: unknown service %q, not one of %s", service, join(services()))
		}
	}
	for service, n := range s.Count {
		if _, ok := s.Use[service]; !ok {
			p.add("count.%s: use has no such service", service)
		}
		p.within("count."+string(service), float64(n), 1, 1e6)
	}
	if len(s.Own) > maxList {
		p.add("own: at most %d", maxList)
	}
	for i, o := range s.Own {
		at := fmt.Sprintf("own[%d]", i)
		if o.Name == "" {
			p.add("%s: no name", at)
		}
		p.within(at+".month", o.Month, 0, 1e9)
		p.within(at+".operator_hours", o.Hours, 0, 1e6)
		p.within(at+".machines", float64(o.Machines), 0, 1e6)
		if (o.Machine == "") != (o.Machines == 0) {
			p.add("%s: machine and machines go together", at)
		}
	}
	slices.SortFunc(p, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return p.err()
}

// Usage is what a deployment measured: sums over a time, as its statistics store
// them. What is zero wasn't measured and stays as the scenario assumes it.
type Usage struct {
	From, To     time.Time
	Sessions     int64 // transfer sessions
	DirectBytes  int64 // payload that took no relay
	RelayedBytes int64 // payload that took one
	CarriedBytes int64 // by the relay, both ways and with all headers: more exact than RelayedBytes
	Messages     int64 // sent by the realtime service
	Executions   int64 // what would be executions of functions
}

// minSpan is the least time from which a month is extrapolated.
const minSpan = time.Hour

// With returns the scenario with what was measured in place of what was assumed, and
// the names of the assumptions that this replaced.
func (s Scenario) With(u Usage) (Scenario, []string, error) {
	span := u.To.Sub(u.From)
	switch {
	case span <= 0:
		return Scenario{}, nil, fmt.Errorf("statistics over %s are too little to go by", span)
	case u.Sessions <= 0:
		return Scenario{}, nil, errors.New("no sessions were counted in this time")
	case min(u.DirectBytes, u.RelayedBytes, u.CarriedBytes, u.Messages, u.Executions) < 0:
		return Scenario{}, nil, errors.New("the statistics contradict themselves: something was counted less than never")
	}
	n := float64(u.Sessions)
	var measured []string
	if span >= minSpan {
		s.Clicks = max(1, n/span.Seconds()*secondsPerMonth)
		measured = append(measured, "clicks")
	}
	relayed := float64(u.RelayedBytes)
	if u.CarriedBytes > 0 {
		relayed = float64(u.CarriedBytes) / (1 + s.Overhead + s.Acks)
	}
	if all := float64(u.DirectBytes) + relayed; all > 0 {
		s.FileMB = all / n / 1e6
		s.Relayed = relayed / all
		measured = append(measured, "file_mb", "relayed")
	}
	if u.Messages > 0 {
		s.Work.Messages = float64(u.Messages) / n
		measured = append(measured, "messages")
	}
	if u.Executions > 0 {
		s.Work.Executions = float64(u.Executions) / n
		measured = append(measured, "executions")
	}
	return s, measured, s.Validate()
}
