package sqlledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"causeway/internal/budget"
	"causeway/internal/sqldb"
	"causeway/internal/sqldb/sqldbtest"
)

const mb = 1_000_000

func config() budget.Config {
	return budget.Config{
		Credential: budget.Cap{Bytes: 3 * mb}, Session: budget.Cap{Bytes: 8 * mb, Money: 700},
		Day: budget.Cap{Bytes: 20 * mb, Money: 1500}, Month: budget.Cap{Bytes: 21 * mb},
		Prices: map[string]int64{"": 0, "p": 123_457}, Allowance: mb, MemberShare: 60,
	}
}

func open(t *testing.T, url string, cfg budget.Config) *Ledger {
	t.Helper()
	l, err := New(sqldbtest.Open(t, url), cfg, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLedger(t *testing.T) {
	sqldbtest.All(t, func(t *testing.T, url func(*testing.T) string) {
		t.Run("one day in a life", func(t *testing.T) { life(t, url(t)) })
		t.Run("many processes", func(t *testing.T) { many(t, url(t)) })
		t.Run("ten grants gain nothing", func(t *testing.T) { parallel(t, url(t)) })
		t.Run("usage", func(t *testing.T) { usage(t, url(t)) })
		t.Run("money", func(t *testing.T) { take(t, url(t)) })
		t.Run("left", func(t *testing.T) { left(t, url(t)) })
		t.Run("bounds", func(t *testing.T) { bounds(t, url(t)) })
		t.Run("damaged", func(t *testing.T) { damaged(t, url(t)) })
	})
}

// check is the invariant, for every account that is stored, and that they agree with each other.
func check(t *testing.T, l *Ledger) (delivered int64) {
	t.Helper()
	good := func(what string, a budget.Account) {
		s := a.Status()
		if s.Cap-s.Left != s.Delivered+s.Leased || s.MoneyCap-s.MoneyLeft != s.MoneyDelivered+s.MoneyLeased {
			t.Errorf("%s: cap − left != delivered + leased: %+v", what, s)
		}
		if s.Left < 0 || s.MoneyLeft < 0 || s.Leased < 0 || s.MoneyLeased < 0 {
			t.Errorf("%s: beyond its cap, or negative: %+v", what, s)
		}
	}
	var total budget.Total
	var text string
	must(t, l.db.QueryRow(readTotal).Scan(&text))
	must(t, json.Unmarshal([]byte(text), &total))
	good("day", total.Day)
	good("month", total.Month)
	rows, err := l.db.Query("SELECT body FROM budget_sessions")
	must(t, err)
	defer rows.Close()
	var leased int64
	grants := 0
	for rows.Next() {
		var p budget.Page
		must(t, rows.Scan(&text))
		must(t, json.Unmarshal([]byte(text), &p))
		good(p.ID, p.Account)
		var ofMembers, ofGrants int64
		for _, m := range p.Members {
			good(p.ID+"."+m.ID, m.Account)
			ofMembers += m.Account.Leased.Bytes
		}
		for _, g := range p.Grants {
			good(g.ID, g.Account)
			ofGrants += g.Outstanding
			grants++
		}
		if s := p.Account.Leased.Bytes; s != ofMembers || s != ofGrants {
			t.Errorf("%s: leased %d, its members %d, its grants %d", p.ID, s, ofMembers, ofGrants)
		}
		leased += p.Account.Leased.Bytes
	}
	must(t, rows.Err())
	if total.Day.Leased.Bytes != leased || total.Month.Leased.Bytes != leased {
		t.Errorf("leased: day %d, month %d, sessions %d", total.Day.Leased.Bytes, total.Month.Leased.Bytes, leased)
	}
	var listed int
	must(t, l.db.QueryRow(countGrants).Scan(&listed))
	if listed != grants {
		t.Errorf("%d grants are listed, %d are on pages", listed, grants)
	}
	return total.Day.Spent.Bytes
}

func life(t *testing.T, url string) {
	ctx := t.Context()
	l, other := open(t, url, config()), open(t, url, config())
	chain := budget.Chain{Session: "s", Member: "m"}
	must(t, l.Open(ctx, "g", chain, 0))
	n, err := other.Lease(ctx, "g", 2*mb) // another process knows it
	if err != nil || n != 2*mb {
		t.Fatal(n, err)
	}
	must(t, l.Settle(ctx, "g", mb, 0, mb/2))
	if s, ok, err := other.Session(ctx, "s"); err != nil || !ok || s.Delivered != mb || s.Leased != mb/2 {
		t.Errorf("%+v, %v, %v", s, ok, err)
	}
	must(t, other.CloseGrant(ctx, "g")) // what is outstanding counts as spent: its process may be dead
	must(t, other.CloseGrant(ctx, "g"))
	if s, _, err := l.Session(ctx, "s"); err != nil || s.Delivered != mb+mb/2 || s.Leased != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := l.Lease(ctx, "g", 1); !errors.Is(err, budget.ErrUnknown) {
		t.Errorf("a closed grant: %v", err)
	}
	day, month, err := l.Status(ctx)
	if err != nil || day.Delivered != mb+mb/2 || month.Delivered != day.Delivered {
		t.Errorf("%+v, %+v, %v", day, month, err)
	}
	must(t, l.Open(ctx, "h", chain, 0))
	if err := l.Open(ctx, "h", budget.Chain{Session: "t", Member: "m"}, 0); err == nil {
		t.Error("a grant is open in two sessions")
	}
	check(t, l)
}

// walker does random things to some grants, knows what it delivered, and sometimes forgets all, as
// a process that dies.
type walker struct {
	l           *Ledger
	r           *rand.Rand
	name        string
	outstanding map[string]int64
	delivered   int64
}

func (w *walker) step(ctx context.Context) error {
	id := fmt.Sprint(w.name, w.r.IntN(4))
	switch w.r.IntN(9) {
	case 0:
		err := w.l.Open(ctx, id, budget.Chain{Session: fmt.Sprint("s", w.r.IntN(3)), Member: fmt.Sprint("m", w.r.IntN(3)), Price: []string{"", "p"}[w.r.IntN(2)]}, 0)
		if _, is := w.outstanding[id]; err == nil && !is {
			w.outstanding[id] = 0
		}
		return nil
	case 1:
		w.delivered += w.outstanding[id] // counts as such
		delete(w.outstanding, id)
		return w.l.CloseGrant(ctx, id)
	case 2, 3, 4, 5:
		n, err := w.l.Lease(ctx, id, 1+w.r.Int64N(400_000))
		if err == nil {
			w.outstanding[id] += n
			return nil
		}
		if !errors.Is(err, budget.ErrUnknown) && !errors.Is(err, budget.ErrSpent) && !errors.Is(err, budget.ErrBusy) {
			return err
		}
		return nil
	}
	have, open := w.outstanding[id]
	d := w.r.Int64N(have + 1)
	err := w.l.Settle(ctx, id, d, w.r.Int64N(d+1), w.r.Int64N(have-d+1)/2)
	if !open {
		return nil
	}
	w.delivered += d
	delete(w.outstanding, id) // what is left is lost to this process
	return errors.Join(err, w.l.CloseGrant(ctx, id))
}

// many: whatever many processes do at once, the accounts agree, and nothing is beyond its cap.
func many(t *testing.T, url string) {
	var group sync.WaitGroup
	for i := range 4 {
		l := open(t, url, config())
		group.Go(func() {
			w := &walker{l: l, r: rand.New(rand.NewPCG(uint64(i), 5)), name: fmt.Sprint("w", i, "-"), outstanding: map[string]int64{}}
			for range 60 {
				if err := w.step(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := check(t, open(t, url, config())); n > 20*mb {
		t.Errorf("%d were delivered in a day of 20 MB", n)
	}
}

func parallel(t *testing.T, url string) {
	ctx := t.Context()
	cfg := budget.Config{Session: budget.Cap{Bytes: 10 * mb}, MemberShare: 60}
	var group sync.WaitGroup
	var mu sync.Mutex
	var total int64
	var all []*Ledger
	for i := range 10 {
		all = append(all, open(t, url, cfg))
		must(t, all[i].Open(ctx, fmt.Sprint("g", i), budget.Chain{Session: "s", Member: "m"}, 0))
	}
	for i, l := range all {
		id := fmt.Sprint("g", i)
		group.Go(func() {
			for {
				n, err := l.Lease(ctx, id, mb)
				if errors.Is(err, budget.ErrSpent) {
					return
				}
				if err == nil {
					err = l.Settle(ctx, id, n, n, 0)
				}
				if err != nil && !errors.Is(err, budget.ErrBusy) {
					t.Error(err)
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if total != 6*mb {
		t.Errorf("a member of 6 MB had %d", total)
	}
	check(t, open(t, url, cfg))
}

func usage(t *testing.T, url string) {
	ctx := t.Context()
	says := map[string]int64{}
	var fail error
	cfg := budget.Config{
		Session: budget.Cap{Bytes: 100 * mb}, MemberShare: 100, Prices: map[string]int64{"p": 50_000},
		Usage: map[string]budget.UsageFunc{"p": func(context.Context, []string) (map[string]int64, error) { return says, fail }},
	}
	l, other := open(t, url, cfg), open(t, url, cfg)
	must(t, l.Open(ctx, "b", budget.Chain{Session: "s", Member: "m", Price: "p"}, 0))
	says["b"], says["stranger"] = 70*mb, 5
	must(t, l.Tick(ctx))
	must(t, other.Tick(ctx)) // the same total once more
	if s, _, err := l.Session(ctx, "s"); err != nil || s.Delivered != 70*mb || s.MoneyDelivered != 3500 {
		t.Errorf("%+v, %v", s, err)
	}
	says["b"] = 120 * mb // beyond the cap
	must(t, other.Tick(ctx))
	cut := func(l *Ledger) bool {
		for {
			select {
			case e := <-l.Events():
				if e.Kind == budget.Cut && e.Session == "s" {
					return true
				}
			default:
				return false
			}
		}
	}
	if !cut(other) {
		t.Error("nobody was told that the session is spent")
	}
	must(t, l.Tick(ctx)) // the other process may have died before it did anything
	if !cut(l) {
		t.Error("it was not told again")
	}
	must(t, l.CloseGrant(ctx, "b"))
	fail = errors.New("down")
	if err := l.Tick(ctx); !errors.Is(err, fail) {
		t.Errorf("a provider is down: %v", err)
	}
	fail, says["b"] = nil, 130*mb // what it used until it was closed
	must(t, l.Tick(ctx))
	if s, _, err := l.Session(ctx, "s"); err != nil || s.Delivered != 130*mb {
		t.Errorf("%+v, %v", s, err)
	}
	var left int
	must(t, l.db.QueryRow(countGrants).Scan(&left))
	if left != 0 {
		t.Errorf("%d grants are left", left)
	}
	if err := l.Open(ctx, "c", budget.Chain{Session: "s", Member: "m", Price: "p"}, 0); !errors.Is(err, budget.ErrSpent) {
		t.Errorf("a spent session: %v", err)
	}
}

func bounds(t *testing.T, url string) {
	ctx := t.Context()
	l := open(t, url, budget.Config{Limits: budget.Limits{Grants: 3, Sessions: 2}, Retain: time.Second})
	must(t, l.Admits(ctx, budget.Chain{Session: "s", Member: "m"}, 0))
	if _, ok, err := l.Session(ctx, "s"); err != nil || ok {
		t.Errorf("who is only admitted leaves something: %v, %v", ok, err)
	}
	for i, want := range []error{nil, nil, nil, budget.ErrFull} {
		if err := l.Open(ctx, fmt.Sprint("g", i), budget.Chain{Session: "s", Member: "m"}, 0); !errors.Is(err, want) {
			t.Errorf("grant %d: %v", i, err)
		}
	}
	if err := l.Admits(ctx, budget.Chain{Session: "s", Member: "m"}, 0); !errors.Is(err, budget.ErrFull) {
		t.Errorf("admits one more: %v", err)
	}
	must(t, l.Open(ctx, "g0", budget.Chain{Session: "s", Member: "m"}, 0)) // again
	must(t, l.CloseGrant(ctx, "g0"))
	must(t, l.Open(ctx, "h", budget.Chain{Session: "t", Member: "m"}, 0))
	must(t, l.CloseGrant(ctx, "g1"))
	if err := l.Open(ctx, "i", budget.Chain{Session: "u", Member: "m"}, 0); !errors.Is(err, budget.ErrFull) {
		t.Errorf("a third session: %v", err)
	}
	if n, err := l.Lease(ctx, "g2", mb); n != mb || err != nil {
		t.Fatal(n, err)
	}
	must(t, l.CloseGrant(ctx, "g2"))
	if _, ok, err := l.Session(ctx, "s"); err != nil || !ok {
		t.Errorf("a session that has spent something is kept: %v, %v", ok, err)
	}
	// It went idle an hour ago.
	_, err := l.db.Exec(l.db.Rebind("UPDATE budget_sessions SET idle_at = ? WHERE idle_at > 0"), time.Now().Add(-time.Hour).Unix())
	must(t, err)
	must(t, l.Tick(ctx))
	if _, ok, err := l.Session(ctx, "s"); err != nil || ok {
		t.Errorf("it is kept for good: %v, %v", ok, err)
	}
	if _, ok, err := l.Session(ctx, "t"); err != nil || !ok {
		t.Errorf("one with a grant was forgotten: %v, %v", ok, err)
	}
}

// A damaged row is an error, and not a fresh budget.
func damaged(t *testing.T, url string) {
	ctx := t.Context()
	l := open(t, url, config())
	must(t, l.Open(ctx, "g", budget.Chain{Session: "s", Member: "m"}, 0))
	_, err := l.db.Exec("UPDATE budget_sessions SET body = '{'")
	must(t, err)
	if _, err := l.Lease(ctx, "g", 1); !errors.Is(err, budget.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	_, err = l.db.Exec("DELETE FROM budget_total")
	must(t, err)
	if _, _, err := l.Status(ctx); !errors.Is(err, budget.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestTSQL is of the syntax only: nothing here can run it.
func TestTSQL(t *testing.T) {
	d := sqldb.SQLServer()
	files, err := Migrations()
	must(t, err)
	statements := sqldbtest.Migrations(t, files, d.Name)
	statements["write session"] = writeSession(d)
	for name, text := range map[string]string{
		"lock": lockTotal, "read total": readTotal, "write total": writeTotal, "read session": readSession, "delete session": deleteSession,
		"count sessions": countSessions, "read grant": readGrant, "insert grant": insertGrant, "delete grant": deleteGrant,
		"count grants": countGrants, "polled": polledGrant, "list": listGrants, "left": leftGrants, "old": oldSessions,
	} {
		statements[name] = d.Rebind(text)
	}
	sqldbtest.TSQL(t, statements)
}

// Money for other things than bytes comes out of the same day, for all processes.
func take(t *testing.T, url string) {
	ctx := t.Context()
	all := []*Ledger{open(t, url, config()), open(t, url, config())}
	for i, want := range []int64{1000, 500} { // of 1500, although more is asked for
		n, err := all[i].Take(ctx, 1000)
		if err != nil || n != want {
			t.Errorf("%d, %v; want %d", n, err, want)
		}
	}
	if n, err := all[0].Take(ctx, 1); n != 0 || !errors.Is(err, budget.ErrSpent) {
		t.Errorf("%d, %v", n, err)
	}
	check(t, all[0])
}
