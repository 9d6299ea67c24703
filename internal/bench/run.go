//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"causeway/internal/bench/load"
	"causeway/internal/bench/measure"
	"causeway/internal/realtime/accesskey"
)

// bench is one Run.
type bench struct {
	cfg    Config
	scale  scale
	peer   []string // command line of PeerJS server; empty if there is none
	report Report
}

// Run measures what cfg says. It ends by itself, or with ctx, and takes its
// children with it. The report is nil if anything went wrong.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	if len(cfg.Sizes) == 0 {
		cfg.Sizes = []int{256, PeerSize, BigSize}
	}
	if len(cfg.Scenarios) == 0 {
		cfg.Scenarios = Scenarios()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	limit, err := measure.RaiseLimit()
	if err != nil {
		return nil, fmt.Errorf("limit of file descriptors: %w", err)
	}
	b := &bench{cfg: cfg, scale: cfg.scale()}
	b.report = Report{Benchmark: "realtime", Started: time.Now().UTC().Truncate(time.Second), Machine: measure.ThisMachine(), Descriptors: limit,
		Connects: []Connect{}, Messages: []Measurement{}, Skipped: []measure.Skipped{}}
	if most := limit - 1000; b.scale.idle > most {
		b.say("%d connections, as the limit of file descriptors is %d", most, limit)
		b.scale.idle = most
		b.scale.many, b.scale.some = min(b.scale.many, most), min(b.scale.some, most)
	}
	begin := time.Now()
	if err := b.all(ctx); err != nil {
		return nil, err
	}
	b.report.Seconds = measure.Rounded(time.Since(begin).Seconds(), 1)
	b.report.Bars = b.report.bars()
	return &b.report, nil
}

func (b *bench) wants(s ...Scenario) bool {
	return slices.ContainsFunc(s, func(s Scenario) bool { return slices.Contains(b.cfg.Scenarios, s) })
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.cfg.Progress, format+"\n", args...)
}

func (b *bench) skip(what string, reason error) {
	b.report.Skipped = append(b.report.Skipped, measure.Skipped{What: what, Reason: reason.Error()})
	b.say("skipped: %s: %v", what, reason)
}

func (b *bench) all(ctx context.Context) error {
	if b.wants(Send, Saturated) {
		var err error = errors.New("switched off")
		if b.cfg.PeerJS {
			b.peer, err = b.peerCommand(ctx)
		}
		if err != nil {
			b.skip("peerjs", err)
		}
	}
	for _, part := range []struct {
		of  []Scenario
		run func(context.Context) error
	}{
		{[]Scenario{Idle}, b.idle},
		{[]Scenario{Echo, Send, Saturated, Group, REST}, b.some},
		{[]Scenario{Unit, Broadcast}, b.many},
	} {
		if !b.wants(part.of...) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// idle measures what connecting costs, then the memory of connections that do
// nothing but keep alive.
func (b *bench) idle(ctx context.Context) error {
	for round := range b.scale.rounds {
		for _, name := range []Subject{Causeway, Upgrade} {
			if err := b.connectRound(ctx, name, round+1); err != nil {
				return err
			}
		}
	}
	s, err := b.begin(ctx, Causeway)
	if err != nil {
		return err
	}
	defer s.close()
	before, err := measure.Resident(s.pid)
	if err != nil {
		return err
	}
	if err := b.open(ctx, s, b.scale.idle, 0); err != nil {
		return err
	}
	atEnd, err := measure.Resident(s.pid)
	if err != nil {
		return err
	}
	if err := s.loop.Wait(ctx, b.scale.settle); err != nil {
		return err
	}
	after, err := measure.Resident(s.pid)
	if err != nil {
		return err
	}
	if s.loop.Failed > 0 {
		return fmt.Errorf("%d idle connections ended: %w", s.loop.Failed, s.loop.Err())
	}
	m := &Memory{
		Connections: len(s.conns), Settled: b.scale.settle.Seconds(),
		Before: measure.Rounded(float64(before)/(1<<20), 1), AfterAll: measure.Rounded(float64(atEnd)/(1<<20), 1), After: measure.Rounded(float64(after)/(1<<20), 1),
		PerConn: measure.Rounded(float64(after-before)/1024/float64(len(s.conns)), 2),
	}
	b.report.Idle = m
	b.say("idle: %d connections, %.2f KiB each (%.0f MiB before, %.0f at the last connect, %.0f after %.0f s)",
		m.Connections, m.PerConn, m.Before, m.AfterAll, m.After, m.Settled)
	return nil
}

func (b *bench) connectRound(ctx context.Context, name Subject, round int) error {
	s, err := b.begin(ctx, name)
	if err != nil {
		return err
	}
	defer s.close()
	return b.open(ctx, s, max(b.scale.idle/3, 1), round)
}

// some measures messages between a thousand connections.
func (b *bench) some(ctx context.Context) error {
	hub, err := b.subjectWith(ctx, Causeway, b.scale.some)
	if err != nil {
		return err
	}
	defer hub.close()
	sc := b.scale
	for _, size := range b.cfg.Sizes {
		base := load.Load{Size: size, Rate: sc.rate, Fan: 1, Warmup: sc.warmup, Duration: sc.duration}
		if b.wants(Echo) {
			base.Kind = load.Echo
			if err := b.measure(ctx, hub, trial{Echo, 1, base}); err != nil {
				return err
			}
		}
		if b.wants(Send) && size != PeerSize { // that one is measured below
			base.Kind, base.To = load.Send, partners(hub.conns)
			if err := b.measure(ctx, hub, trial{Send, 1, base}); err != nil {
				return err
			}
		}
	}
	if b.wants(Group) {
		if err := b.groups(ctx, hub); err != nil {
			return err
		}
	}
	if b.wants(REST) {
		if err := b.rest(ctx, hub); err != nil {
			return err
		}
	}
	if b.wants(Send, Saturated) {
		return b.addressed(ctx, hub)
	}
	return nil
}

// partners is who the connections send to, each to another one far away.
func partners(conns []*load.Conn) []*load.Conn {
	half := len(conns) / 2
	return append(slices.Clone(conns[half:]), conns[:half]...)
}

func (b *bench) groups(ctx context.Context, hub *subject) error {
	whole := hub.conns[:len(hub.conns)/load.GroupSize*load.GroupSize]
	if len(whole) == 0 {
		return fmt.Errorf("groups need %d connections", load.GroupSize)
	}
	if err := hub.loop.Prepare(ctx, load.Join, whole, whole); err != nil {
		return err
	}
	for _, size := range b.cfg.Sizes {
		l := load.Load{Kind: load.Group, Size: size, Rate: b.scale.groupRate, Fan: load.GroupSize, From: whole, Warmup: b.scale.warmup, Duration: b.scale.duration}
		if err := b.measure(ctx, hub, trial{Group, 1, l}); err != nil {
			return err
		}
	}
	return nil
}

// restConns is how many connections of the application's server send.
const restConns = 16

func (b *bench) rest(ctx context.Context, hub *subject) error {
	d := &load.REST{Host: hub.addr.String(), Hub: echoHub, Token: func(path string) (string, error) {
		return accesskey.SignREST(hub.cs.Key, hub.cs.Endpoint+path)
	}}
	if err := d.Sign(hub.conns); err != nil {
		return err
	}
	from, err := hub.loop.Open(ctx, d, restConns, restConns)
	if err != nil {
		return err
	}
	if err := hub.loop.Prepare(ctx, load.Send, from[:1], hub.conns[:1]); err != nil {
		return err
	}
	if err := from[0].Err(); err != nil {
		b.skip(string(REST), err)
		return nil
	}
	for _, size := range b.cfg.Sizes {
		l := load.Load{Kind: load.Send, Size: size, Rate: b.scale.restRate, Fan: 1, From: from, To: hub.conns, Warmup: b.scale.warmup, Duration: b.scale.duration}
		if err := b.measure(ctx, hub, trial{REST, 1, l}); err != nil {
			return err
		}
	}
	return nil
}

// window is how many messages each connection has on their way when a server is
// saturated, and how many a client then writes at once, as clients do that have a
// queue. A server that can may handle several of them at once.
const window = 8

// addressed compares sends of 1.5 KB with the yardsticks, in turns.
func (b *bench) addressed(ctx context.Context, hub *subject) error {
	all := []*subject{hub}
	for _, name := range []Subject{Copy, PeerJS} {
		if name == PeerJS && len(b.peer) == 0 {
			continue
		}
		s, err := b.subjectWith(ctx, name, len(hub.conns))
		if err != nil {
			return err
		}
		defer s.close()
		all = append(all, s)
	}
	for _, scenario := range []Scenario{Send, Saturated} {
		if !b.wants(scenario) {
			continue
		}
		for round := range b.scale.rounds {
			for _, s := range all {
				l := load.Load{Kind: load.Send, Size: PeerSize, Rate: b.scale.rate, Fan: 1, To: partners(s.conns), Warmup: b.scale.warmup, Duration: b.scale.duration}
				if scenario == Saturated {
					l.Rate, l.InFlight, l.Batch = 0, window*len(s.conns), window
				}
				if err := b.measure(ctx, s, trial{scenario, round + 1, l}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// many measures ten thousand connections.
func (b *bench) many(ctx context.Context) error {
	if err := b.manyOf(ctx, Causeway); err != nil {
		return err
	}
	if b.wants(Broadcast) {
		return b.manyOf(ctx, Loop)
	}
	return nil
}

func (b *bench) manyOf(ctx context.Context, name Subject) error {
	s, err := b.subjectWith(ctx, name, b.scale.many)
	if err != nil {
		return err
	}
	defer s.close()
	sc := b.scale
	if name == Causeway && b.wants(Unit) {
		l := load.Load{Kind: load.Echo, Size: BigSize, Rate: sc.rate, Fan: 1, Warmup: sc.warmup, Duration: 3 * sc.duration}
		if err := b.measure(ctx, s, trial{Unit, 1, l}); err != nil {
			return err
		}
	}
	if !b.wants(Broadcast) {
		return nil
	}
	for _, size := range b.cfg.Sizes {
		rounds := 1
		if size == BigSize {
			rounds = sc.rounds
		}
		for round := range rounds {
			l := load.Load{Kind: load.Broadcast, Size: size, InFlight: 1, Fan: len(s.conns), Warmup: sc.warmup, Duration: sc.duration}
			if err := b.measure(ctx, s, trial{Broadcast, round + 1, l}); err != nil {
				return err
			}
		}
	}
	return nil
}
