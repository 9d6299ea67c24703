package budget

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// provider is what a bought relay says it has relayed.
type provider struct {
	mu    sync.Mutex
	total map[string]int64
	err   error
	asked [][]string
}

func (p *provider) usage(_ context.Context, grants []string) (map[string]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(grants)
	p.asked = append(p.asked, grants)
	return p.total, p.err
}

func (p *provider) says(total map[string]int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total, p.err = total, err
}

func (p *provider) calls() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// What providers relayed counts in the same accounts, with its price.
func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{}
		l := open(t, Config{
			Session: Cap{Bytes: 100 * mb}, MemberShare: 100, Prices: map[string]int64{"": 0, "bought": 50_000},
			Usage: map[string]UsageFunc{"bought": p.usage},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(30 * time.Second) // so that the test is between two polls
		minute := func() { time.Sleep(time.Minute); synctest.Wait() }
		minute()
		if len(p.calls()) != 0 {
			t.Errorf("asked about nothing: %v", p.calls())
		}
		must(t, l.Open("own", Chain{Session: "s", Member: "m"}, 0))
		must(t, l.Open("b1", Chain{Session: "s", Member: "m", Price: "bought"}, 0))
		must(t, l.Open("b2", Chain{Session: "t", Member: "m", Price: "bought"}, 0))
		if n, err := take(t, l, "own", mb, 10*mb); n != 10*mb || err != nil {
			t.Fatal(n, err)
		}
		p.says(map[string]int64{"b1": 70 * mb, "stranger": 5}, nil)
		minute()
		if len(p.calls()) != 1 || !slices.Equal(p.calls()[0], []string{"b1", "b2"}) {
			t.Errorf("asked %v", p.calls())
		}
		if s, _ := l.Session("s"); s.Delivered != 80*mb || s.MoneyDelivered != 3500 {
			t.Errorf("%+v", s)
		}
		if e := <-l.Events(); e.Kind != Warning || e.Session != "s" {
			t.Errorf("%+v", e)
		}
		p.says(map[string]int64{"b1": 60 * mb}, nil) // less than before is nothing new
		minute()
		p.says(map[string]int64{"b1": 120 * mb}, nil) // beyond the cap
		minute()
		s, _ := l.Session("s")
		if s.Delivered != 130*mb || s.Left != -30*mb {
			t.Errorf("%+v", s)
		}
		for e := range l.Events() {
			if e.Kind == Cut && e.Level == Session && e.Session == "s" {
				break
			}
		}
		if _, err := l.Lease(ctx, "own", 1); !errors.Is(err, ErrSpent) {
			t.Errorf("%v", err)
		}
		// A closed grant is asked about once more, and an error is no answer.
		l.CloseGrant("b2")
		p.says(nil, errors.New("down"))
		minute()
		p.says(map[string]int64{"b2": 7 * mb}, nil)
		minute()
		if s, _ := l.Session("t"); s.Delivered != 7*mb {
			t.Errorf("%+v", s)
		}
		asked := len(p.calls())
		l.CloseGrant("b1")
		p.says(nil, errors.New("down for good"))
		time.Sleep(2 * time.Hour)
		if n := len(p.calls()) - asked; n < 59 || n > 62 {
			t.Errorf("asked %d times about a closed grant", n)
		}
		cancel()
		must(t, <-ended)
		if len(l.grants) != 1 {
			t.Errorf("%d grants", len(l.grants))
		}
		for _, n := range []int64{-1, maxReport + 1} {
			if l.Charge("own", n) == nil {
				t.Errorf("charged %d", n)
			}
		}
		if err := l.Charge("none", 1); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
	})
}

// A session is forgotten when it can't be joined any more, and not before.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, Config{Retain: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		must(t, l.Open("h", Chain{Session: "idle", Member: "m"}, 0))
		if _, err := take(t, l, "g", mb, mb); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		l.CloseGrant("g")
		l.CloseGrant("h")
		if _, ok := l.Session("idle"); ok {
			t.Error("a session that spent nothing is kept")
		}
		time.Sleep(59 * time.Minute)
		if _, ok := l.Session("s"); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * time.Minute)
		if _, ok := l.Session("s"); ok {
			t.Error("kept too long")
		}
		cancel()
		must(t, <-ended)
	})
}
