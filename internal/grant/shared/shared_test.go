package shared

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/grant"
	"causeway/internal/ice"
)

// world is the relay and the realtime service around Keepers.
type world struct {
	mu      sync.Mutex
	present map[string]bool // session.peer
	shut    map[string]bool
	unknown bool // the service does not say
	live    map[string]time.Time
	minted  int
	fail    bool // the next mint fails
	slow    time.Duration
	onMint  func()
}

var errDown = errors.New("it is down")

func (w *world) Present(_ context.Context, session, peer string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unknown {
		return false, errDown
	}
	return w.present[session+"."+peer], nil
}

func (w *world) Shut(_ context.Context, session, peer string, _ time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut[session+"."+peer], w.present[session+"."+peer] = true, false
	return nil
}

func (w *world) IsShut(_ context.Context, session, peer string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unknown {
		return false, errDown
	}
	return w.shut[session+"."+peer], nil
}

func (w *world) Others(_ context.Context, m grant.Member) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for who, present := range w.present {
		if present && who != m.Session+"."+m.Peer {
			n++
		}
	}
	if w.unknown {
		return 0, errDown
	}
	return n, nil
}

func (w *world) Mint(_ context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	if w.onMint != nil {
		w.onMint()
	}
	time.Sleep(w.slow)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail {
		w.fail = false
		return made, grant.ErrSpent
	}
	for i, o := range pair {
		w.minted++
		handle := fmt.Sprintf("%s-%d", o.Member.Peer, w.minted)
		w.live[handle] = o.Until
		made[i] = grant.Credential{Servers: []ice.Server{{URLs: []string{"turn:x"}, Username: handle}}, Handle: handle}
	}
	return made, nil
}

func (w *world) Renew(_ context.Context, handle string, until time.Time, _ []ice.Auth) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.live[handle]; !ok {
		return grant.ErrGone
	}
	w.live[handle] = until
	return nil
}

func (w *world) Revoke(_ context.Context, handle string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, handle)
	return nil
}

func (w *world) handles() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for h := range w.live {
		list = append(list, h)
	}
	slices.Sort(list)
	return list
}

func (w *world) set(who string, present bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.present[who] = present
}

// keepers are instances that share a store.
func keepers(t *testing.T, store Store, n int) (*world, []*Keeper) {
	t.Helper()
	w := &world{present: map[string]bool{"s.a": true, "s.b": true, "s.c": true}, shut: map[string]bool{}, live: map[string]time.Time{}}
	all := make([]*Keeper, n)
	for i := range all {
		var err error
		if all[i], err = New(Config{Relay: w, Store: store, Directory: w, Life: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	return w, all
}

func member(peer string) grant.Member { return grant.Member{Session: "s", Peer: peer} }

func name(servers []ice.Server) string {
	if len(servers) != 1 {
		return "none"
	}
	return servers[0].Username
}

// Instances that ask at once agree on one pair; who asks later gets the same.
func TestOnePairForAllInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := keepers(t, NewMemory(), 4)
		w.slow = 100 * time.Millisecond
		answers := make([][2]string, len(all))
		var g sync.WaitGroup
		for i, k := range all {
			g.Go(func() {
				a, b := member("a"), member("b")
				if i%2 == 1 {
					a, b = b, a
				}
				forA, forB, err := k.Pair(t.Context(), a, b, grant.Need{})
				if err != nil {
					t.Error(err)
				}
				if i%2 == 1 {
					forA, forB = forB, forA
				}
				answers[i] = [2]string{name(forA), name(forB)}
			})
		}
		g.Wait()
		for _, got := range answers {
			if got != answers[0] || got[0][:1] != "a" || got[1][:1] != "b" {
				t.Errorf("%v", answers)
			}
		}
		if w.minted != 2 || len(w.handles()) != 2 {
			t.Errorf("%d were minted, %v live", w.minted, w.handles())
		}
	})
}

func TestWhoIsAwayGetsNone(t *testing.T) {
	w, all := keepers(t, NewMemory(), 1)
	w.set("s.b", false)
	for _, other := range []grant.Member{member("b"), member("a"), {Session: "other", Peer: "b"}} {
		if _, _, err := all[0].Pair(t.Context(), member("a"), other, grant.Need{}); !errors.Is(err, grant.ErrAbsent) {
			t.Errorf("%v: %v", other, err)
		}
	}
	w.unknown = true
	if _, _, err := all[0].Pair(t.Context(), member("a"), member("c"), grant.Need{}); !errors.Is(err, errDown) {
		t.Errorf("presence is not known: %v", err)
	}
	if w.minted != 0 {
		t.Errorf("%d minted", w.minted)
	}
}

// Presence keeps a pair alive, for as long as a credential may live; a lost one leaves Grace.
func TestTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := keepers(t, NewMemory(), 2)
		if _, _, err := all[0].Pair(t.Context(), member("a"), member("b"), grant.Need{}); err != nil {
			t.Fatal(err)
		}
		tick := func(i int) {
			t.Helper()
			time.Sleep(time.Second) // a tick looks at what was not seen since it began
			if err := all[i%2].Tick(t.Context()); err != nil {
				t.Error(err)
			}
		}
		for i := range 10 {
			time.Sleep(time.Minute)
			tick(i)
			for h, until := range w.live {
				if d := time.Until(until); d < 2*time.Minute || d > 3*time.Minute {
					t.Errorf("%s lives for %v", h, d)
				}
			}
		}
		w.set("s.b", false)
		tick(0)
		if len(w.live) != 2 {
			t.Error("a lost connection has no grace")
		}
		for h, until := range w.live {
			if d := time.Until(until); d > 20*time.Second {
				t.Errorf("%s of a lost pair lives for %v", h, d)
			}
		}
		w.set("s.b", true)
		time.Sleep(time.Minute)
		tick(1)
		w.set("s.b", false)
		tick(0)
		time.Sleep(time.Minute)
		tick(1)
		if len(w.live) != 0 {
			t.Errorf("after the grace: %v", w.handles())
		}
		w.set("s.b", true)
		if _, _, err := all[0].Pair(t.Context(), member("a"), member("b"), grant.Need{}); err != nil {
			t.Fatal(err)
		}
		w.unknown = true
		for i := range 5 { // the service is down: nobody is cut for that, and credentials end by themselves
			time.Sleep(time.Minute)
			if err := all[i%2].Tick(t.Context()); !errors.Is(err, errDown) {
				t.Errorf("%v", err)
			}
		}
		w.unknown = false
		tick(0)
		if len(w.live) != 2 {
			t.Error("it was cut")
		}
		w.live = map[string]time.Time{} // the relay was restarted
		tick(0)
		if _, _, err := all[1].Pair(t.Context(), member("a"), member("b"), grant.Need{}); err != nil || len(w.live) != 2 {
			t.Errorf("who asks again gets a new one: %v, %v", w.handles(), err)
		}
		time.Sleep(time.Hour)
		tick(0)
		if len(w.live) != 0 {
			t.Error("it outlives its life")
		}
	})
}

func TestLeftAndKicked(t *testing.T) {
	ctx := t.Context()
	w, all := keepers(t, NewMemory(), 3)
	for _, other := range []string{"b", "c"} {
		if _, _, err := all[0].Pair(ctx, member("a"), member(other), grant.Need{}); err != nil {
			t.Fatal(err)
		}
	}
	all[1].Left(ctx, member("b"))
	if got := w.handles(); len(got) != 2 || got[0] != "a-3" || got[1] != "c-4" {
		t.Errorf("after b left: %v", got)
	}
	if all[2].Admit(ctx, member("c"), "x", 0) != nil {
		t.Error("c is not let in")
	}
	if ids := all[1].Kick(ctx, member("c")); len(ids) != 0 || len(w.handles()) != 0 || !errors.Is(all[2].Admit(ctx, member("c"), "x", 0), grant.ErrKicked) {
		t.Errorf("after c was removed: %v, %v", ids, w.handles())
	}
	if _, _, err := all[0].Pair(ctx, member("a"), member("b"), grant.Need{}); err != nil {
		t.Fatal(err)
	}
	if n, err := all[2].Spent(ctx, "s", "", ""); err != nil || n != 1 || len(w.handles()) != 0 {
		t.Errorf("after the session's budget: %v, %v", w.handles(), err)
	}
}

func TestRoomIsFull(t *testing.T) {
	w, all := keepers(t, NewMemory(), 2)
	for atMost, want := range map[int]error{0: nil, 2: grant.ErrFull, 3: nil} {
		if err := all[0].Admit(t.Context(), member("c"), "x", atMost); !errors.Is(err, want) {
			t.Errorf("for %d: %v", atMost, err)
		}
	}
	w.unknown = true
	if err := all[1].Admit(t.Context(), member("d"), "x", 2); err != nil {
		t.Errorf("the service does not say: %v", err)
	}
}

// Whatever goes wrong in the middle leaves nothing behind.
func TestMintFails(t *testing.T) {
	ctx := t.Context()
	w, all := keepers(t, NewMemory(), 2)
	w.fail = true
	if _, _, err := all[0].Pair(ctx, member("a"), member("b"), grant.Need{}); !errors.Is(err, grant.ErrSpent) || len(w.live) != 0 {
		t.Errorf("%v, %v", err, w.live)
	}
	if _, _, err := all[1].Pair(ctx, member("a"), member("b"), grant.Need{}); err != nil {
		t.Errorf("the next try: %v", err)
	}
	w, all = keepers(t, NewMemory(), 2)
	w.onMint = func() { all[1].Left(ctx, member("b")) }
	if _, _, err := all[0].Pair(ctx, member("a"), member("b"), grant.Need{}); !errors.Is(err, grant.ErrAbsent) || len(w.live) != 0 {
		t.Errorf("b left meanwhile: %v, %v", err, w.live)
	}
}

// An instance that dies while it mints does not shut its members out for ever.
func TestMinterDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		_, all := keepers(t, store, 1)
		if _, mine, err := store.Claim(t.Context(), Pair{ID: pairID("s", "a", "b"), Session: "s", Members: [2]string{"a", "b"}, Made: time.Now(), NotAfter: time.Now().Add(time.Hour)}); err != nil || !mine {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, _, err := all[0].Pair(t.Context(), member("b"), member("a"), grant.Need{}); err != nil || time.Since(begin) < mintPatience {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w, all := keepers(t, NewMemory(), 2)
		granted := 0
		a := grant.Member{Session: "s", Peer: "a", Addr: netip.MustParseAddr("203.0.113.7")}
		for i := range 100 {
			peer := fmt.Sprintf("p%d", i)
			w.set("s."+peer, true)
			_, _, err := all[i%2].Pair(ctx, a, member(peer), grant.Need{})
			if err == nil {
				granted++
			} else if !errors.Is(err, grant.ErrLimited) {
				t.Error(err)
			}
		}
		if granted != 16 {
			t.Errorf("%d in a burst, on two instances", granted)
		}
		time.Sleep(time.Minute)
		for i := range 100 {
			if _, _, err := all[i%2].Pair(ctx, a, member(fmt.Sprintf("p%d", 99-i)), grant.Need{}); err == nil {
				granted++
			}
		}
		// 16 that were there, and 6 new ones; the old ones cost nothing.
		if granted != 16+16+6 {
			t.Errorf("%d in all", granted)
		}
		for i := range 80 {
			time.Sleep(time.Minute)
			w.set(fmt.Sprintf("s.q%d", i), true)
			if _, _, err := all[i%2].Pair(ctx, a, member(fmt.Sprintf("q%d", i)), grant.Need{}); err != nil {
				t.Fatal(err)
			}
		}
		if pairs, err := all[0].cfg.Store.List(ctx, Filter{Session: "s", Peer: "a"}, 1000); err != nil || len(pairs) != maxPairs {
			t.Errorf("%d pairs of one member, %v", len(pairs), err)
		}
	})
}

func TestMemoryBounds(t *testing.T) {
	m := NewMemory()
	now := time.Now()
	for i := range maxMemoryBuckets {
		if ok, err := m.Take(t.Context(), fmt.Sprint(i), now, 1, time.Minute); !ok || err != nil {
			t.Fatal(i, err)
		}
	}
	if ok, _ := m.Take(t.Context(), "one more", now, 1, time.Minute); ok {
		t.Error("buckets have no bound")
	}
	if ok, _ := m.Take(t.Context(), "one more", now.Add(time.Hour), 1, time.Minute); !ok {
		t.Error("full buckets are not forgotten")
	}
}

// A credential, or a member, whose account is empty loses its pair; others keep theirs.
func TestSpentTakesBackWhatItConcerns(t *testing.T) {
	w, all := keepers(t, NewMemory(), 2)
	ctx := t.Context()
	for _, other := range []string{"b", "c"} {
		if _, _, err := all[0].Pair(ctx, member("a"), member(other), grant.Need{}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := all[1].Spent(ctx, "s", "", "b-2"); err != nil || n != 1 || !slices.Equal(w.handles(), []string{"a-3", "c-4"}) {
		t.Errorf("after the credential's: %d, %v, %v", n, err, w.handles())
	}
	if n, err := all[1].Spent(ctx, "s", "", "b-2"); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	if n, err := all[1].Spent(ctx, "s", "b", ""); err != nil || n != 0 || len(w.handles()) != 2 {
		t.Errorf("after a member's who has none: %d, %v", n, err)
	}
	if n, err := all[1].Spent(ctx, "", "", ""); err != nil || n != 1 || len(w.handles()) != 0 {
		t.Errorf("after the day's: %d, %v, %v", n, err, w.handles())
	}
}
