package budget

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

const mb = 1_000_000

// check is the invariant, for every account, and that the accounts agree with each other.
func (l *Ledger) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	good := func(what string, a *account) {
		if a.limit.minus(a.left) != a.spent.plus(a.leased) {
			errs = append(errs, fmt.Errorf("%s: %+v: cap − left != delivered + leased", what, *a))
		}
		if a.leased.bytes < 0 || a.leased.money < 0 || a.spent.bytes < 0 || a.spent.money < 0 {
			errs = append(errs, fmt.Errorf("%s: %+v: negative", what, *a))
		}
	}
	good("day", &l.day)
	good("month", &l.month)
	var all amount
	bySession, byMember := map[*session]amount{}, map[*member]amount{}
	for id, g := range l.grants {
		good(id, &g.account)
		if g.leased != (amount{g.outstanding, g.reserved}) {
			errs = append(errs, fmt.Errorf("%s: leased %+v, outstanding %d, reserved %d", id, g.leased, g.outstanding, g.reserved))
		}
		all = all.plus(g.leased)
		bySession[g.session] = bySession[g.session].plus(g.leased)
		byMember[g.member] = byMember[g.member].plus(g.leased)
	}
	if l.day.leased != all || l.month.leased != all {
		errs = append(errs, fmt.Errorf("leased: grants %+v, day %+v, month %+v", all, l.day.leased, l.month.leased))
	}
	for _, s := range l.sessions {
		good(s.id, &s.account)
		if s.leased != bySession[s] {
			errs = append(errs, fmt.Errorf("%s: leased %+v, its grants %+v", s.id, s.leased, bySession[s]))
		}
		for _, m := range s.members {
			good(s.id+"."+m.id, &m.account)
			if m.leased != byMember[m] {
				errs = append(errs, fmt.Errorf("%s.%s: leased %+v, its grants %+v", s.id, m.id, m.leased, byMember[m]))
			}
		}
	}
	if !l.journal.covers(l.used(), l.journal.mark.Day, l.journal.mark.Month) && l.journal.mark.Day == dayOf(l.dayEnds) {
		errs = append(errs, fmt.Errorf("the file has %+v, used are %+v", l.journal.mark, l.used()))
	}
	return errors.Join(errs...)
}

func open(t *testing.T, cfg Config) *Ledger {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.check(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take leases and delivers all it can get for a grant, in pieces, and returns how much.
func take(t *testing.T, l *Ledger, id string, piece, most int64) (total int64, err error) {
	t.Helper()
	for total < most {
		n, err := l.Lease(t.Context(), id, min(piece, most-total))
		if err != nil {
			return total, err
		}
		must(t, l.Settle(t.Context(), id, n, n, 0))
		total += n
	}
	return total, nil
}

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		l := open(t, Config{})
		day, month := l.Status()
		if day.Cap != 100<<30 || month.Cap != 1<<40 || day.MoneyCap != Unlimited {
			t.Errorf("%+v, %+v", day, month)
		}
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		if s, ok := l.Session("s"); !ok || s.Cap != 4<<30 {
			t.Errorf("%+v", s)
		}
		if n, err := take(t, l, "g", 1<<30, 1<<50); n != 4<<30*60/100 || !errors.Is(err, ErrSpent) {
			t.Errorf("a member took %d: %v", n, err)
		}
	})
}

// Each level stops what is below it, and exactly at its cap.
func TestCaps(t *testing.T) {
	for level, c := range map[Level]Config{
		Credential: {Credential: Cap{Bytes: 10 * mb}, MemberShare: 100},
		Member:     {Session: Cap{Bytes: 20 * mb}, MemberShare: 50},
		Session:    {Session: Cap{Bytes: 10 * mb}, MemberShare: 100},
		Day:        {Day: Cap{Bytes: 10 * mb}},
		Month:      {Month: Cap{Bytes: 10 * mb}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := open(t, c)
			must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
			n, err := take(t, l, "g", 999_999, 1<<40)
			if n != 10*mb || !errors.Is(err, ErrSpent) {
				t.Errorf("took %d: %v", n, err)
			}
			var events []Event
			for len(l.Events()) > 0 {
				if e := <-l.Events(); e.Level == level {
					events = append(events, e)
				}
			}
			if len(events) != 2 {
				t.Fatalf("events: %+v", events)
			}
			warning, cut := events[0], events[1]
			want := Event{Level: level}
			if level <= Session {
				want.Session = "s"
			}
			if level <= Member {
				want.Member = "m"
			}
			if level == Credential {
				want.Grant = "g"
			}
			if warning != want {
				t.Errorf("%+v, want %+v", warning, want)
			}
			if want.Kind = Cut; cut != want {
				t.Errorf("%+v, want %+v", cut, want)
			}
			// Another grant of the same account gets nothing either.
			err = l.Open("h", Chain{Session: "s", Member: "m"}, 0)
			if wantErr := level != Credential; errors.Is(err, ErrSpent) != wantErr {
				t.Errorf("another grant: %v", err)
			}
		})
	}
}

func TestWarningAtFourFifths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		l := open(t, Config{Day: Cap{Bytes: 100}})
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		n, err := l.Lease(t.Context(), "g", 100)
		if n != 100 || err != nil {
			t.Fatal(n, err)
		}
		must(t, l.Settle(t.Context(), "g", 79, 0, 0))
		if len(l.Events()) != 0 {
			t.Errorf("at 79 %%: %+v", <-l.Events())
		}
		must(t, l.Settle(t.Context(), "g", 1, 0, 0))
		if e := <-l.Events(); e != (Event{Kind: Warning, Level: Day}) {
			t.Errorf("%+v", e)
		}
		must(t, l.Settle(t.Context(), "g", 20, 0, 0))
		if e := <-l.Events(); e != (Event{Kind: Cut, Level: Day}) {
			t.Errorf("%+v", e)
		}
	})
}

func TestMoney(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose day does not end
		// 50 000 millionths a gigabyte, and 10 of them: 200 kB, of which nothing must be left over.
		l := open(t, Config{Day: Cap{Money: 10}, Prices: map[string]int64{"p": 50_000}})
		must(t, l.Open("g", Chain{Session: "s", Member: "m", Price: "p"}, 0))
		n, err := take(t, l, "g", 30_001, 1<<40)
		if n != 200_000 || !errors.Is(err, ErrSpent) {
			t.Errorf("took %d: %v", n, err)
		}
		day, month := l.Status()
		if day.MoneyDelivered != 10 || day.MoneyLeft != 0 || month.MoneyDelivered != 10 {
			t.Errorf("%+v", day)
		}
		if err := l.Open("h", Chain{Session: "s2", Member: "m", Price: "x"}, 0); err == nil {
			t.Error("a price that nobody gave")
		}
		// What stays inside costs nothing, but its reserve is needed meanwhile.
		l = open(t, Config{Day: Cap{Money: 10}, Prices: map[string]int64{"": 50_000}})
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		for range 5 {
			n, err := l.Lease(t.Context(), "g", 200_000)
			if err != nil || n < 100_000 {
				t.Fatal(n, err)
			}
			must(t, l.Settle(t.Context(), "g", n, 0, 0))
		}
		if day, _ := l.Status(); day.MoneyDelivered != 0 || day.MoneyLeft != 10 {
			t.Errorf("%+v", day)
		}
		// Parts of a millionth add up, and are rounded up once.
		for range 30_001 {
			if _, err := l.Lease(t.Context(), "g", 1); err != nil {
				t.Fatal(err)
			}
			must(t, l.Settle(t.Context(), "g", 1, 1, 0))
		}
		l.CloseGrant("g")
		if day, _ := l.Status(); day.MoneyDelivered != 2 || day.MoneyLeased != 0 {
			t.Errorf("30 001 bytes at a millionth for 20 000: %+v", day)
		}
	})
}

func TestPrice(t *testing.T) {
	for _, p := range []price{0, 1, 3, 50_000, 999_999_999, maxPrice} {
		for _, n := range []int64{0, 1, 1000, gigabyte - 1, maxOutstanding - 1, maxOutstanding} {
			for _, rest := range []int64{0, 1, gigabyte - 1} {
				for _, money := range []int64{-1, 0, 1, 2, 1 << 20, Unlimited} {
					x := p.affordable(n, rest, money)
					if x < 0 {
						t.Fatalf("%d: affordable(%d, %d, %d) = %d", p, n, rest, money, x)
					}
					x = min(x, maxOutstanding-n)
					if cost := p.reserve(n+x, rest) - p.reserve(n, rest); cost > max(0, money) {
						t.Errorf("%d: affordable(%d, %d, %d) = %d, which costs %d", p, n, rest, money, x, cost)
					}
					if n+x < maxOutstanding && money >= 0 && money < Unlimited && p > 0 {
						if cost := p.reserve(n+x+1, rest) - p.reserve(n, rest); cost <= money {
							t.Errorf("%d: affordable(%d, %d, %d) = %d, and one more would be, too", p, n, rest, money, x)
						}
					}
				}
			}
		}
	}
	if m, r := price(maxPrice).cost(maxReport, gigabyte-1); m != maxReport || r != gigabyte-1 {
		t.Errorf("%d, %d", m, r)
	}
}

func TestOpen(t *testing.T) {
	l := open(t, Config{Limits: Limits{Grants: 3, Sessions: 2, Members: 2}})
	for _, c := range []Chain{{}, {Session: "s"}, {Member: "m"}} {
		if l.Open("x", c, 0) == nil {
			t.Errorf("%+v", c)
		}
	}
	if l.Open("", Chain{Session: "s", Member: "m"}, 0) == nil || l.Open("x", Chain{Session: "s", Member: "m"}, -1) == nil {
		t.Error("no name, or a negative size")
	}
	must(t, l.Open("a", Chain{Session: "s", Member: "1"}, 0))
	must(t, l.Open("a", Chain{Session: "s", Member: "1"}, 0))
	if l.Open("a", Chain{Session: "s", Member: "2"}, 0) == nil {
		t.Error("one grant of two members")
	}
	must(t, l.Open("b", Chain{Session: "s", Member: "2"}, 0))
	if err := l.Open("c", Chain{Session: "s", Member: "3"}, 0); !errors.Is(err, ErrFull) {
		t.Errorf("members: %v", err)
	}
	must(t, l.Open("c", Chain{Session: "t", Member: "1"}, 0))
	if err := l.Open("d", Chain{Session: "t", Member: "1"}, 0); !errors.Is(err, ErrFull) {
		t.Errorf("grants: %v", err)
	}
	l.CloseGrant("b")
	l.CloseGrant("b")
	l.CloseGrant("none")
	if err := l.Open("d", Chain{Session: "u", Member: "1"}, 0); !errors.Is(err, ErrFull) {
		t.Errorf("sessions: %v", err)
	}
	must(t, l.Open("d", Chain{Session: "s", Member: "3"}, 0)) // 2 left and had spent nothing
	l.CloseGrant("c")
	must(t, l.Open("c", Chain{Session: "u", Member: "1"}, 0)) // likewise t
}

// Leaving and coming back does not fill the session's account up.
func TestReopen(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 10 * mb}, MemberShare: 100})
	for i := range 5 {
		id := fmt.Sprint("g", i)
		must(t, l.Open(id, Chain{Session: "s", Member: id}, 0))
		if n, err := take(t, l, id, mb, 2*mb); n != 2*mb || err != nil {
			t.Fatal(n, err)
		}
		l.CloseGrant(id)
	}
	if err := l.Open("g", Chain{Session: "s", Member: "m"}, 0); !errors.Is(err, ErrSpent) {
		t.Errorf("after the cap: %v", err)
	}
	if err := l.Settle(t.Context(), "g0", 1, 1, 0); !errors.Is(err, ErrUnknown) {
		t.Errorf("a closed grant: %v", err)
	}
}

func TestLeaseAndSettle(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 100 * mb}, MemberShare: 100})
	ctx := t.Context()
	must(t, l.Open("a", Chain{Session: "s", Member: "1"}, 0))
	must(t, l.Open("b", Chain{Session: "s", Member: "2"}, 0))
	if _, err := l.Lease(ctx, "none", 1); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Lease(ended, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := l.Lease(ctx, "a", 0); err == nil {
		t.Error("a lease of nothing")
	}
	for _, s := range [][3]int64{{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {1, 2, 0}, {maxReport + 1, 0, 0}} {
		if l.Settle(ctx, "a", s[0], s[1], s[2]) == nil {
			t.Errorf("settled %v", s)
		}
	}
	n, err := l.Lease(ctx, "a", 60*mb) // more than half of what is left
	if n != 50*mb || err != nil {
		t.Fatal(n, err)
	}
	// Towards the end there is something for the other, and then what is leased may come back.
	total := n
	for {
		n, err = l.Lease(ctx, "b", 60*mb)
		if err != nil {
			break
		}
		total += n
	}
	if total != 100*mb || !errors.Is(err, ErrBusy) || errors.Is(err, ErrSpent) {
		t.Errorf("leased %d: %v", total, err)
	}
	if _, err := l.Lease(ctx, "a", mb); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	must(t, l.Settle(ctx, "b", 20*mb, 20*mb, 30*mb))
	if n, err := l.Lease(ctx, "a", 10*mb); n != 10*mb || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	// More than was leased counts, and is told.
	if err := l.Settle(ctx, "b", 5, 5, 0); err == nil {
		t.Error("an overrun was not told")
	}
	if err := l.Settle(ctx, "a", 60*mb, 0, 1); err == nil {
		t.Error("returned more than there was")
	}
	if s, _ := l.Session("s"); s.Delivered != 80*mb+5 || s.Leased != 0 {
		t.Errorf("%+v", s)
	}
	// A grant that has the rest itself is told that there will be no more.
	if n, err := take(t, l, "a", 60*mb, 19*mb); n != 19*mb || err != nil {
		t.Fatal(n, err)
	}
	last, err := l.Lease(ctx, "a", 60*mb)
	for err == nil {
		n, err = l.Lease(ctx, "a", 60*mb)
		last += n
	}
	if last != mb-5 || !errors.Is(err, ErrSpent) {
		t.Errorf("the rest: %d, %v", last, err)
	}
	// Outstanding leases of a closed grant are spent.
	l.CloseGrant("a")
	if s, _ := l.Session("s"); s.Left != 0 || s.Delivered != 100*mb {
		t.Errorf("%+v", s)
	}
}

func TestOutstandingIsBounded(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: Unlimited}, Day: Cap{Bytes: Unlimited}, Month: Cap{Bytes: Unlimited}})
	must(t, l.Open("a", Chain{Session: "s", Member: "1"}, 0))
	if n, err := l.Lease(t.Context(), "a", Unlimited); n != maxOutstanding || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := l.Lease(t.Context(), "a", 1); n != 0 || !errors.Is(err, ErrBusy) {
		t.Errorf("%d, %v", n, err)
	}
}

// Nobody reads the events: they are dropped, and the ledger goes on.
func TestEventsAreBounded(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 10}, MemberShare: 100})
	for i := range maxEvents {
		id := fmt.Sprint(i)
		must(t, l.Open(id, Chain{Session: id, Member: "m"}, 0))
		if n, err := take(t, l, id, 10, 10); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(l.Events()) != maxEvents {
		t.Errorf("%d events wait", len(l.Events()))
	}
}

// What others have leased and don't use does not keep a grant waiting for ever: that would be a
// cut without a word.
func TestAGrantThatWaitsForOthersIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{Session: Cap{Bytes: 10 * mb}, MemberShare: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"idle", "busy"} {
			if err := l.Open(id, Chain{Session: "s", Member: id}, 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Lease(t.Context(), "idle", 1000); err != nil {
			t.Fatal(err)
		}
		spend := func() (err error) {
			for n := int64(0); err == nil; {
				if n, err = l.Lease(t.Context(), "busy", mb); err == nil {
					err = l.Settle(t.Context(), "busy", n, 0, 0)
				}
			}
			return err
		}
		if err := spend(); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		time.Sleep(starvation / 2)
		if err := l.Settle(t.Context(), "idle", 0, 0, 500); err != nil { // some comes back
			t.Fatal(err)
		}
		if err := spend(); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		time.Sleep(starvation)
		if err := spend(); !errors.Is(err, ErrSpent) {
			t.Fatal(err)
		}
		var last Event
		for len(l.Events()) > 0 {
			last = <-l.Events()
		}
		if last.Kind != Cut || last.Level != Session || last.Session != "s" {
			t.Errorf("told %+v", last)
		}
	})
}
