package guard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"causeway/internal/guard/work"
)

func newGuard(t testing.TB, cfg Config) *Guard {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reasonOf is why it was refused; reasons if it wasn't.
func reasonOf(t testing.TB, err error) Reason {
	t.Helper()
	if err == nil {
		return reasons
	}
	var no *Refusal
	if !errors.As(err, &no) {
		t.Fatalf("%v is no refusal", err)
	}
	if h := no.HTTP(); h.Code == "" || h.Message == "" || h.Status < 400 || h.RetryAfter < time.Second || no.RetryAfter < 0 {
		t.Errorf("%v: answered as %+v", no, h)
	}
	return no.Reason
}

// asks solves what is asked for, up to thrice, and returns the last answer.
func asks(t testing.TB, g *Guard, r Request) error {
	t.Helper()
	for range 3 {
		err := g.Admit(r)
		var no *Refusal
		if !errors.As(err, &no) || no.Work == "" {
			return err
		}
		text, err := work.Solve(t.Context(), no.Work)
		if err != nil {
			t.Fatal(err)
		}
		r.Work = text
	}
	return g.Admit(r)
}

func addr(t testing.TB, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{Work: Never})
		admitted := func(from func(n int) netip.Addr) (n int) {
			for i := range 500 {
				if g.Admit(Request{Action: Create, Addr: from(i)}) == nil {
					n++
				}
			}
			return n
		}
		for name, from := range map[string]func(n int) netip.Addr{
			"an IPv4 /24": func(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) },
			"mapped":      func(n int) netip.Addr { return addr(t, fmt.Sprintf("::ffff:198.51.100.%d", n%256)) },
			"an IPv6 /56": func(n int) netip.Addr { return addr(t, fmt.Sprintf("2001:db8:0:ab%02x::%x", n%256, n)) },
		} {
			if got := admitted(from); got != 60 {
				t.Errorf("%s: %d sessions at once, want 60", name, got)
			}
		}
		if g.Admit(Request{Action: Create, Addr: addr(t, "2001:db8:0:b000::1")}) != nil || g.Admit(Request{Action: Create, Addr: addr(t, "192.0.3.1")}) != nil {
			t.Error("other networks pay for it")
		}
		if got := reasonOf(t, g.Admit(Request{Action: Create, Addr: addr(t, "192.0.2.9")})); got != Prefix {
			t.Error(got)
		}
		if g.Admit(Request{Action: Join, Addr: addr(t, "192.0.2.9"), Session: "s"}) != nil {
			t.Error("another action pays for it")
		}
		time.Sleep(500 * time.Millisecond)
		if g.Admit(Request{Action: Create, Addr: addr(t, "192.0.2.9")}) != nil || g.Admit(Request{Action: Create, Addr: addr(t, "192.0.2.9")}) == nil {
			t.Error("want one more after half a second")
		}
	})
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{Work: Never})
		n := 0
		for i := range 1000 { // from everywhere
			if g.Admit(Request{Action: Join, Addr: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), Session: "s"}) == nil {
				n++
			}
		}
		if n != 200 {
			t.Errorf("%d joined one session at once, want 200", n)
		}
		if got := reasonOf(t, g.Admit(Request{Action: Join, Addr: addr(t, "192.0.2.1"), Session: "s"})); got != Session {
			t.Error(got)
		}
		if g.Admit(Request{Action: Join, Addr: addr(t, "192.0.2.1"), Session: "another"}) != nil {
			t.Error("another session pays for it")
		}
	})
}

func TestNoLimits(t *testing.T) {
	g := newGuard(t, Config{Scale: -1, Work: Never, WorkFrom: 1 << 20})
	for range 5000 {
		if err := g.Admit(Request{Action: Create, Addr: addr(t, "192.0.2.1"), Session: "s"}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWork: it begins by itself, lets those in who do it, once each, is bound to action and network,
// and is not asked of others.
func TestWork(t *testing.T) {
	g := newGuard(t, Config{WorkFrom: 3})
	from := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}) }
	for n := range 3 {
		if err := g.Admit(Request{Action: Create, Addr: from(n)}); err != nil {
			t.Fatal(err)
		}
	}
	var challenge string
	for n := range 10 {
		var no *Refusal
		if err := g.Admit(Request{Action: Create, Addr: from(n)}); !errors.As(err, &no) || no.Reason != Work || no.Work == "" {
			t.Fatalf("under pressure: %v", err)
		}
		if n == 7 {
			challenge = no.Work
		}
	}
	text, err := work.Solve(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	if got := reasonOf(t, g.Admit(Request{Action: Create, Addr: from(8), Work: text})); got != Work {
		t.Errorf("from another network: %v", got)
	}
	if err := g.Admit(Request{Action: Create, Addr: from(7), Work: text}); err != nil {
		t.Errorf("solved: %v", err)
	}
	if got := reasonOf(t, g.Admit(Request{Action: Create, Addr: from(7), Work: text})); got != Replayed {
		t.Errorf("again: %v", got)
	}
	for _, a := range []Action{Connect, Lookup, Invoke, Mint, Other} {
		for n := range 200 {
			if err := g.Admit(Request{Action: a, Addr: from(n), Session: fmt.Sprint(n)}); err != nil {
				t.Fatalf("%v: %v", a, err)
			}
		}
	}
	if err := g.Admit(Request{Action: Join, Addr: from(1), Session: "s"}); err != nil {
		t.Errorf("what is not under pressure: %v", err)
	}
}

// TestReplayCosts: replaying a solution for the sake of a new challenge costs what any
// request does.
func TestReplayCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{Work: Always})
		a := addr(t, "192.0.2.1")
		var no *Refusal
		if err := g.Admit(Request{Action: Create, Addr: a}); !errors.As(err, &no) {
			t.Fatal(err)
		}
		text, err := work.Solve(t.Context(), no.Work)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Admit(Request{Action: Create, Addr: a, Work: text}); err != nil {
			t.Fatal(err)
		}
		challenges := 0
		for range 500 {
			if reasonOf(t, g.Admit(Request{Action: Create, Addr: a, Work: text})) == Replayed {
				challenges++
			}
		}
		if challenges != 59 { // a burst of 60, of which one is used
			t.Errorf("%d challenges for one token each, want 59", challenges)
		}
	})
}

func TestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := netip.MustParsePrefix("203.0.113.0/24")
		g := newGuard(t, Config{Block: []netip.Prefix{forever}, Work: Never})
		now := time.Now()
		for p, until := range map[string]time.Time{"192.0.2.128/25": now.Add(time.Hour), "2001:db8::/32": now.Add(time.Minute), "::ffff:198.51.100.0/120": {}} {
			if err := g.Block(netip.MustParsePrefix(p), until); err != nil {
				t.Fatal(err)
			}
		}
		blocked := func(a string) bool {
			admit, allowed := g.Admit(Request{Action: Connect, Addr: addr(t, a)}), g.Allowed(addr(t, a))
			if (admit != nil) != (allowed != nil) {
				t.Errorf("%s: admitted %v, allowed %v", a, admit, allowed)
			}
			return admit != nil && reasonOf(t, admit) == Blocked
		}
		check := func(want map[string]bool) {
			t.Helper()
			for a, is := range want {
				if blocked(a) != is {
					t.Errorf("%s: blocked is %v", a, !is)
				}
			}
		}
		check(map[string]bool{"203.0.113.9": true, "::ffff:203.0.113.9": true, "192.0.2.129": true, "192.0.2.1": false, "2001:db8:9::1": true, "2001:db9::1": false, "198.51.100.7": true})
		if n := len(g.Blocks()); n != 4 {
			t.Errorf("%d blocks", n)
		}
		time.Sleep(time.Minute)
		check(map[string]bool{"2001:db8:9::1": false, "192.0.2.129": true})
		if !g.Unblock(netip.MustParsePrefix("198.51.100.99/24")) || g.Unblock(netip.MustParsePrefix("198.51.100.0/24")) {
			t.Error("unblock says yes once")
		}
		check(map[string]bool{"198.51.100.7": false, "203.0.113.9": true})
		time.Sleep(time.Hour)
		check(map[string]bool{"192.0.2.129": false, "203.0.113.9": true})
		if got := g.Blocks(); len(got) != 1 || got[0].Prefix != forever {
			t.Errorf("left: %v", got)
		}
		for n := range MaxBlocks - 1 {
			if err := g.Block(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Block(netip.MustParsePrefix("192.0.2.0/24"), time.Time{}); !errors.Is(err, ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}
		if g.Block(netip.Prefix{}, time.Time{}) == nil {
			t.Error("no prefix at all was blocked")
		}
	})
}

// purse is a cap of a day.
type purse struct{ cap, taken, relayed atomic.Int64 }

func (p *purse) Take(want int64) (int64, error) {
	n := min(want, p.cap.Load()-p.taken.Load()-p.relayed.Load())
	if n <= 0 {
		return 0, errors.New("spent")
	}
	p.taken.Add(n)
	return n, nil
}

func (p *purse) State() State {
	return State{Day: float64(p.taken.Load()+p.relayed.Load()) / float64(p.cap.Load()), Cap: p.cap.Load()}
}

// TestDegrades: as the cap comes near, the relay for new sessions ends first, then new
// sessions, and the rest last; and no more is spent than the cap, to the millionth.
func TestDegrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &purse{}
		p.cap.Store(100_000)
		g := newGuard(t, Config{Purse: p, Scale: -1, Work: Never, Prices: Prices{Execution: 1_000_000, Negotiation: 2_000_000, Message: 500_000},
			Relaying: func(s string) bool { return s == "old" }})
		ends := map[string]float64{}
		see := func(what string, r Request, want Reason) {
			share := p.State().Day
			if err := g.Admit(r); err != nil && ends[what] == 0 {
				if got := reasonOf(t, err); got != want {
					t.Errorf("%s at %.2f: %v, want %v", what, share, got, want)
				}
				ends[what] = share
			} else if err == nil && ends[what] != 0 {
				t.Errorf("%s is back at %.2f", what, share)
			}
		}
		a := addr(t, "192.0.2.1")
		for i := 0; i < 200_000 && ends["message"] == 0; i++ {
			if i%50 == 0 {
				see("relay for a new session", Request{Action: Mint, Addr: a, Session: "new"}, RelayOff)
				see("a new session", Request{Action: Create, Addr: a}, Paused)
				see("a join", Request{Action: Join, Addr: a, Session: "old"}, Paused)
				see("relay for an old session", Request{Action: Mint, Addr: a, Session: "old"}, Spent)
				see("coming back", Request{Action: Negotiate, Addr: a, Session: "old"}, Spent)
				time.Sleep(lookEvery)
			}
			see("message", Request{Action: Invoke, Addr: a, Session: "old", Messages: 2}, Spent)
		}
		for what, at := range map[string]float64{"relay for a new session": 0.8, "a new session": 0.9, "a join": 0.9, "message": 1} {
			if got := ends[what]; got < at || got > at+0.01 {
				t.Errorf("%s ended at %.3f, want %.2f", what, got, at)
			}
		}
		if p.taken.Load() > p.cap.Load() {
			t.Errorf("%d spent of %d", p.taken.Load(), p.cap.Load())
		}
		var no *Refusal
		if err := g.Admit(Request{Action: Create, Addr: a}); !errors.As(err, &no) || no.RetryAfter <= 0 || no.RetryAfter > 24*time.Hour {
			t.Errorf("try again: %+v", no)
		}
		p.taken.Store(0) // the next day
		time.Sleep(time.Second)
		if err := g.Admit(Request{Action: Create, Addr: a}); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

// TestSpent: the books are right to 10⁻¹²: what was admitted costs no more than was taken, and
// little less.
func TestSpent(t *testing.T) {
	p := &purse{}
	p.cap.Store(5_000_000)
	prices := Prices{Execution: 200_000, Negotiation: 3, Message: 1_000_000}
	g := newGuard(t, Config{Purse: p, Scale: -1, Work: Never, Prices: prices, WorkFrom: 1 << 24})
	rng := rand.New(rand.NewPCG(3, 4))
	var cost int64
	for {
		r := Request{Action: []Action{Create, Negotiate, Connect, Invoke}[rng.IntN(4)], Messages: rng.IntN(400)}
		if g.Admit(r) != nil {
			break
		}
		cost += prices.of(r.Action, r.Messages)
	}
	if taken := p.taken.Load() * perMillionth; cost > taken || taken-cost > 1000*perMillionth {
		t.Errorf("events for %d, taken %d", cost, taken)
	}
	if p.taken.Load() > p.cap.Load() {
		t.Error("over the cap")
	}
}

// TestRelaySpendStopsNoSession: where only the relay costs, an attacker who burns its
// budget does not stop others from meeting.
func TestRelaySpendStopsNoSession(t *testing.T) {
	p := &purse{}
	p.cap.Store(1000)
	p.relayed.Store(1000)
	g := newGuard(t, Config{Purse: p})
	a := addr(t, "192.0.2.1")
	for _, action := range []Action{Create, Join, Negotiate, Connect, Invoke} {
		if err := g.Admit(Request{Action: action, Addr: a, Session: "s"}); err != nil {
			t.Errorf("%v: %v", action, err)
		}
	}
	if got := reasonOf(t, g.Admit(Request{Action: Mint, Addr: a, Session: "s"})); got != RelayOff {
		t.Error(got)
	}
}

func TestMetricsAndHook(t *testing.T) {
	reg := prometheus.NewRegistry()
	var heard []Reason
	g := newGuard(t, Config{Registerer: reg, Work: Never, Refused: func(r Reason) { heard = append(heard, r) }, Block: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	_ = g.Admit(Request{Action: Create, Addr: addr(t, "192.0.2.1")})
	_ = g.Admit(Request{Action: Create, Addr: addr(t, "192.0.3.1")})
	_ = g.Allowed(addr(t, "192.0.2.1"))
	_ = g.Refuse(Join, Origin, 0)
	if len(heard) != 3 || heard[0] != Blocked || heard[2] != Origin {
		t.Errorf("heard %v", heard)
	}
	if n := testutil.ToFloat64(g.metrics.refusedBy.WithLabelValues("create", "blocked")); n != 1 {
		t.Errorf("%v refused", n)
	}
	if n := testutil.ToFloat64(g.metrics.admittedBy.WithLabelValues("create")); n != 1 {
		t.Errorf("%v admitted", n)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != int(actions)+int(actions)*int(reasons)+2+3+4 {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{Work: "some"}, {WorkFrom: -1}, {RelayAt: 95}, {SessionsAt: 101}, {Prices: Prices{Message: -1}}, {Block: []netip.Prefix{{}}}} {
		if _, err := New(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	fill := func(g *Guard, r Request) {
		for range 100 {
			_ = g.Admit(r)
		}
	}
	a := netip.AddrFrom4([4]byte{192, 0, 2, 1})
	for name, c := range map[string]struct {
		cfg Config
		r   Request
		set bool
	}{
		"admitted":        {Config{Scale: 1e9, WorkFrom: 1 << 30}, Request{Action: Invoke, Addr: a, Session: "AAAAAAAAAAAAAAAAAAAAAA", Messages: 1}, false},
		"refused":         {Config{Work: Never}, Request{Action: Create, Addr: a}, true},
		"asked for work":  {Config{Work: Always, Scale: -1}, Request{Action: Create, Addr: a}, true},
		"blocked":         {Config{Block: []netip.Prefix{netip.PrefixFrom(a, 24)}}, Request{Action: Create, Addr: a}, false},
		"admitted create": {Config{Scale: 1e9, WorkFrom: 1 << 28}, Request{Action: Create, Addr: a}, false},
	} {
		b.Run(name, func(b *testing.B) {
			g := newGuard(b, c.cfg)
			if c.set {
				fill(g, c.r)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = g.Admit(c.r)
				}
			})
		})
	}
}
