//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"causeway/internal/bench/load"
	"causeway/internal/bench/measure"
	"causeway/internal/bench/yardstick"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
)

// echoHub is the name of the hub with the targets of package echo.
const echoHub = "echo"

// parallel is how many connections are set up at the same time.
const parallel = 64

// subject is a server and our connections to it.
type subject struct {
	name  Subject
	child *measure.Child // nil if it is not ours
	pid   int
	addr  netip.AddrPort
	cs    accesskey.ConnectionString // of Causeway
	loop  *load.Loop
	conns []*load.Conn
}

// close ends the connections, and the server if it is ours.
func (s *subject) close() {
	if s.loop != nil {
		s.loop.Close()
		s.loop = nil
	}
	if s.child != nil {
		s.child.Stop()
	}
}

func (s *subject) cpu() (time.Duration, error) { return measure.CPU(s.pid) }

// begin starts a server by the name of what it is. No connections are opened.
func (b *bench) begin(ctx context.Context, name Subject) (*subject, error) {
	s := &subject{name: name}
	argv := b.cfg.Server
	switch name {
	case Causeway:
		if b.cfg.ConnectionString != "" {
			s.pid = b.cfg.PID
			return s, s.parse(b.cfg.ConnectionString)
		}
	case Copy, Loop:
		argv = append(slices.Clone(b.cfg.Yardstick), string(yardstick.Plain))
	case Upgrade:
		argv = append(slices.Clone(b.cfg.Yardstick), string(yardstick.Upgrade))
	case PeerJS:
		argv = b.peer
	}
	if len(argv) == 0 {
		return nil, fmt.Errorf("no command line for %s", name)
	}
	c, err := measure.Start(ctx, argv)
	if err != nil {
		return nil, err
	}
	s.child, s.pid = c, c.PID
	if name == Causeway {
		if err = s.parse(c.Line); err == nil {
			err = s.ready(ctx)
		}
	} else {
		s.addr, err = netip.ParseAddrPort(c.Line)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// parse takes the address from a connection string.
func (s *subject) parse(text string) error {
	cs, err := accesskey.ParseConnectionString(text)
	if err != nil {
		return err
	}
	u, err := url.Parse(cs.Endpoint)
	if err != nil {
		return err
	}
	if u.Scheme != "http" {
		return errors.New("the endpoint is not http://; TLS is not measured")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	s.cs = cs
	s.addr, err = netip.ParseAddrPort(strings.Replace(u.Hostname(), "localhost", "127.0.0.1", 1) + ":" + port)
	return err
}

// ready waits until the service takes connections: it answers 503 between opening
// its socket and running.
func (s *subject) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, measure.StartTimeout)
	defer cancel()
	for {
		loop, err := load.New(s.addr)
		if err != nil {
			return err
		}
		_, err = loop.Open(ctx, s.dialect(), 1, 1)
		loop.Close()
		if !errors.Is(err, load.ErrBusy) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dialect is what the subject speaks.
func (s *subject) dialect() load.Dialect {
	host := s.addr.String()
	switch s.name {
	case Causeway, Upgrade:
		endpoint, key := s.cs.Endpoint, s.cs.Key
		if s.name == Upgrade {
			return &load.SignalR{Host: host, Hub: echoHub, Bare: true, Token: func(int) (string, error) { return strings.Repeat("t", 260), nil }}
		}
		return &load.SignalR{Host: host, Hub: echoHub, Token: func(i int) (string, error) {
			return accesskey.SignClient(key, endpoint, echoHub, realtime.Claims{User: "u" + strconv.Itoa(i)})
		}}
	case PeerJS:
		return &load.PeerJS{Host: host}
	}
	return &load.Plain{Overhead: load.Overhead()}
}

// open opens n connections, and notes what that cost if round is not 0.
func (b *bench) open(ctx context.Context, s *subject, n, round int) error {
	loop, err := load.New(s.addr)
	if err != nil {
		return err
	}
	s.loop = loop
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if s.conns, err = loop.Open(ctx, s.dialect(), n, parallel); err != nil {
		return fmt.Errorf("connect to %s: %w", s.name, err)
	}
	took := time.Since(begin)
	after, err := s.cpu()
	if err != nil {
		return err
	}
	if round > 0 {
		c := Connect{Subject: s.name, Round: round, Connections: n, Seconds: measure.Rounded(took.Seconds(), 3), CPU: measure.Rounded(micros(after-cpu)/float64(n), 1)}
		b.report.Connects = append(b.report.Connects, c)
		b.say("connect %s, %d connections, round %d: %.1f µs of CPU each", s.name, n, round, c.CPU)
	}
	return nil
}

// subjectWith starts a server and opens connections to it.
func (b *bench) subjectWith(ctx context.Context, name Subject, n int) (*subject, error) {
	s, err := b.begin(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := b.open(ctx, s, n, 0); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// trial is one measurement to make.
type trial struct {
	scenario Scenario
	round    int
	load     load.Load
}

// measure makes a trial and adds it to the report.
func (b *bench) measure(ctx context.Context, s *subject, t trial) error {
	t.load.Sample = s.cpu
	if t.load.From == nil {
		t.load.From = s.conns
	}
	r, err := s.loop.Run(ctx, t.load)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", t.scenario, s.name, err)
	}
	rss, err := measure.Resident(s.pid)
	if err != nil {
		return err
	}
	fan := t.load.Fan
	seconds := r.Elapsed.Seconds()
	m := Measurement{
		Scenario: t.scenario, Subject: s.name, Round: t.round, Size: t.load.Size, Connections: len(s.conns), Recipients: fan,
		TargetRate: t.load.Rate, Rate: measure.Rounded(r.MessagesPerSecond(fan), 1), Seconds: measure.Rounded(seconds, 3),
		CPUDelivery: measure.Rounded(micros(r.CPUPerDelivery()), 2), CPU: measure.Rounded(micros(r.CPUPerDelivery())*float64(fan), 2),
		ServerBusy: measure.Rounded(r.CPU.Seconds()/seconds, 3), DriverBusy: measure.Rounded(r.Driver.Seconds()/seconds, 3), DriverLate: measure.Rounded(millis(r.Late), 2),
		Latency: Latency{
			P50: measure.Rounded(millis(r.Latency.Percentile(50)), 3), P90: measure.Rounded(millis(r.Latency.Percentile(90)), 3),
			P99: measure.Rounded(millis(r.Latency.Percentile(99)), 3), Max: measure.Rounded(millis(r.Latency.Max()), 3),
		},
		Deliveries: r.Delivered, Lost: r.Lost, FailedConns: r.Failed, ResidentAfter: measure.Rounded(float64(rss)/(1<<20), 1),
	}
	if r.CPU > 0 {
		m.PerCPUSecond = measure.Rounded(float64(r.Delivered)/float64(fan)/r.CPU.Seconds(), 0)
	}
	b.report.Messages = append(b.report.Messages, m)
	b.say("%s %s, %d B, round %d: %.0f messages/s, %.1f µs of CPU each (%.2f a delivery), p99 %.2f ms, lost %d",
		t.scenario, s.name, m.Size, m.Round, m.Rate, m.CPU, m.CPUDelivery, m.Latency.P99, m.Lost)
	if r.Failed > 0 {
		b.say("  %d connections failed, the first of all: %v", r.Failed, s.loop.Err())
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
