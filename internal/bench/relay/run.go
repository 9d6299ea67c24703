//go:build linux

package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"causeway/internal/bench/measure"
)

// bench is one Run.
type bench struct {
	cfg    Config
	scale  scale
	dir    string  // for what servers leave behind
	coturn string  // its path; empty if it is not compared with
	ours   Subject // which subject the bars are for
	report Report
}

// Run measures what cfg says. It ends by itself, or with ctx, and takes its
// children and its network with it. The report is nil if anything went wrong.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	limit, err := measure.RaiseLimit()
	if err != nil {
		return nil, fmt.Errorf("limit of file descriptors: %w", err)
	}
	b := &bench{ours: Causeway}
	b.cfg, b.scale = cfg.withDefaults()
	if b.cfg.Address.IsValid() {
		b.ours = Given
	}
	b.report = Report{Benchmark: "relay", Started: time.Now().UTC().Truncate(time.Second), Machine: measure.ThisMachine(), Descriptors: limit,
		Setups: []SetUp{}, Memory: []Memory{}, Packets: []Measurement{}, Ratios: []Ratio{}, Skipped: []measure.Skipped{}}
	if most := limit - 1000; b.cfg.Allocations > most { // a server needs one for each
		b.say("%d allocations, as the limit of file descriptors is %d", most, limit)
		b.cfg.Allocations = most
	}
	if b.dir, err = os.MkdirTemp("", "causeway-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.findCoturn(); err != nil {
		b.skip(string(Coturn), err)
	}
	begin := time.Now()
	for _, path := range b.cfg.Paths {
		if err := b.path(ctx, path); err != nil {
			return nil, err
		}
	}
	b.report.Seconds = measure.Rounded(time.Since(begin).Seconds(), 1)
	b.report.finish(b.ours)
	return &b.report, nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.cfg.Progress, format+"\n", args...)
}

func (b *bench) skip(what string, reason error) {
	b.report.Skipped = append(b.report.Skipped, measure.Skipped{What: what, Reason: reason.Error()})
	b.say("skipped: %s: %v", what, reason)
}

// path measures all there is over one kind of network.
func (b *bench) path(ctx context.Context, path Path) (err error) {
	nw := loopback()
	if path == Veth {
		if b.ours == Given {
			b.skip(string(path), errors.New("a server that runs already is not there"))
			return nil
		}
		if nw, err = vethPair(); err != nil {
			b.skip(string(path), err)
			return nil
		}
		defer func() { err = errors.Join(err, nw.close()) }()
	}
	for _, sc := range b.cfg.Scenarios {
		if sc == Setup {
			if path == Loopback {
				err = b.setup(ctx, nw)
			}
		} else {
			err = b.packets(ctx, nw, sc)
		}
		if err != nil {
			return fmt.Errorf("%s over %s: %w", sc, path, err)
		}
	}
	return nil
}

// subjects are those of a scenario, ours first.
func (b *bench) subjects(sc Scenario) []Subject {
	all := []Subject{b.ours}
	if b.coturn != "" {
		all = append(all, Coturn)
	}
	if sc != Setup && sc != Hairpin { // which the forwarder does not know
		all = append(all, Forwarder)
	}
	return all
}

// shape is the traffic of a scenario, but for its direction and clients.
func (b *bench) shape(sc Scenario) (t traffic, allocations int) {
	t = traffic{size: b.cfg.Size, duration: b.cfg.Duration, burst: 1, together: 1}
	switch sc {
	case Paced:
		t.rate = b.scale.pacedRate
		return t, b.scale.paced
	case Many:
		// Clients that know nothing of each other meet by chance; so a few at once.
		t.rate, t.together = b.scale.manyRate, 5
		return t, b.scale.many
	case Hairpin:
		t.rate, t.burst, t.direction = b.scale.bulkRate, 32, Across
		return t, 2
	}
	t.rate, t.burst = b.scale.bulkRate, 32
	return t, b.scale.bulk
}

// packets measures a scenario, the subjects in turns.
func (b *bench) packets(ctx context.Context, nw *network, sc Scenario) error {
	t, allocations := b.shape(sc)
	var all []*subject
	for _, name := range b.subjects(sc) {
		s, err := b.begin(ctx, nw, name, allocations)
		if err != nil {
			return err
		}
		defer s.close()
		if err := s.ready(ctx, sc == Hairpin); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, s)
	}
	directions := []Direction{Up, Down}
	if sc == Hairpin {
		directions = []Direction{Across}
	}
	for _, t.direction = range directions {
		for round := range b.cfg.Rounds {
			for _, s := range all {
				t.clients = s.fleet.clients
				if sc == Hairpin {
					t.clients = pairUp(slices.Clone(s.fleet.clients))
				}
				if err := b.measure(ctx, nw, s, sc, round+1, t); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, nw *network, s *subject, sc Scenario, round int, t traffic) error {
	// Channels and permissions last five minutes (RFC 8656 §9), which slow rounds exceed.
	if err := s.fleet.bindAll(ctx, s.fleet.clients, parallel); err != nil {
		return err
	}
	c, err := s.fleet.measure(ctx, t, s.cpu)
	if err != nil {
		return err
	}
	if c.wrong > 0 {
		return fmt.Errorf("%d packets arrived otherwise than they were sent", c.wrong)
	}
	m := newMeasurement(sc, nw.path, s.name, round, t, c)
	b.report.Packets = append(b.report.Packets, m)
	b.say("%s %s %s, %s, round %d: %.0f packets/s sent, %.2f %% lost, %.2f CPU s per million (%.2f per GiB); busy: server %.2f, driver %.2f; late %.1f ms, driver dropped %d",
		m.Scenario, m.Path, m.Direction, m.Subject, round, m.Rate, 100*m.Lost, m.CPU, m.CPUGiB, m.ServerBusy, m.DriverBusy, m.DriverLate, m.DriverDropped)
	return nil
}

// setup measures making allocations, in turns, and the memory of the first ones.
func (b *bench) setup(ctx context.Context, nw *network) error {
	for round := range b.cfg.Rounds {
		for _, name := range b.subjects(Setup) {
			if err := b.setupOnce(ctx, nw, name, round+1); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (b *bench) setupOnce(ctx context.Context, nw *network, name Subject, round int) error {
	s, err := b.begin(ctx, nw, name, b.cfg.Allocations)
	if err != nil {
		return err
	}
	defer s.close()
	before, err := measure.Resident(s.pid)
	if err != nil {
		return err
	}
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.fleet.allocateAll(ctx, parallel); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := s.cpu()
	if err != nil {
		return err
	}
	n := len(s.fleet.clients)
	u := SetUp{Subject: name, Round: round, Allocations: n, Seconds: measure.Rounded(took.Seconds(), 3),
		CPU: measure.Rounded(float64((after-cpu).Microseconds())/float64(n), 1)}
	b.report.Setups = append(b.report.Setups, u)
	b.say("setup %s, round %d: %d allocations in %.2f s, %.0f µs of CPU each", name, round, n, u.Seconds, u.CPU)
	if round > 1 {
		return nil
	}
	return b.memory(ctx, s, before)
}

// memory measures what allocations cost that do nothing.
func (b *bench) memory(ctx context.Context, s *subject, before int64) error {
	settled := func() (int64, error) {
		select {
		case <-time.After(b.scale.settle):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		return measure.Resident(s.pid)
	}
	idle, err := settled()
	if err != nil {
		return err
	}
	if err := s.fleet.bindAll(ctx, s.fleet.clients, parallel); err != nil {
		return err
	}
	bound, err := settled()
	if err != nil {
		return err
	}
	n := float64(len(s.fleet.clients))
	mib := func(v int64) float64 { return measure.Rounded(float64(v)/(1<<20), 1) }
	m := Memory{Subject: s.name, Allocations: len(s.fleet.clients), Before: mib(before), After: mib(idle), Bound: mib(bound),
		Each: measure.Rounded(float64(idle-before)/1024/n, 2), EachBound: measure.Rounded(float64(bound-before)/1024/n, 2)}
	b.report.Memory = append(b.report.Memory, m)
	b.say("memory %s: %.2f KiB an idle allocation, %.2f with a channel (%.0f MiB before, %.0f, %.0f)", m.Subject, m.Each, m.EachBound, m.Before, m.After, m.Bound)
	return nil
}
