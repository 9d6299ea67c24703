package grant

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

	"causeway/internal/ice"
)

// relay keeps what it is asked for, in memory.
type relay struct {
	mu      sync.Mutex
	orders  []Order
	until   map[string]time.Time // of live handles
	fail    func(n int) error    // of the nth mint, from 1
	minting func()               // called in Mint

	declared []string // handle:bytes
}

func (r *relay) Mint(ctx context.Context, pair [2]Order) (made [2]Credential, err error) {
	for i, o := range pair {
		if made[i], err = r.mint(o); err != nil {
			for _, c := range made[:i] {
				_ = r.Revoke(ctx, c.Handle) // which does not fail
			}
			return [2]Credential{}, err
		}
	}
	return made, nil
}

func (r *relay) mint(o Order) (Credential, error) {
	if r.minting != nil {
		r.minting()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orders = append(r.orders, o)
	if r.fail != nil {
		if err := r.fail(len(r.orders)); err != nil {
			return Credential{}, err
		}
	}
	handle := fmt.Sprintf("%s/%d", o.Member.Peer, len(r.orders))
	r.until[handle] = o.Until
	return Credential{Servers: []ice.Server{{URLs: []string{"turn:x"}, Username: handle, Credential: "c"}}, Handle: handle}, nil
}

func (r *relay) Renew(_ context.Context, handle string, until time.Time, _ []ice.Auth) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.until[handle]; !ok {
		return fmt.Errorf("renew: %w", ErrGone)
	}
	r.until[handle] = until
	return nil
}

func (r *relay) Revoke(_ context.Context, handle string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, handle)
	return nil
}

// live returns the handles whose data path is alive.
func (r *relay) live() (handles []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for h, until := range r.until {
		if time.Now().Before(until) {
			handles = append(handles, h)
		}
	}
	slices.Sort(handles)
	return handles
}

var (
	host  = Member{Session: "s", Peer: "host", Addr: netip.MustParseAddr("198.51.100.1")}
	guest = Member{Session: "s", Peer: "guest"}
)

// run runs f in a bubble with a running Keeper; host and guest are present.
func run(t *testing.T, f func(*testing.T, *Keeper, *relay)) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{until: map[string]time.Time{}}
		k, err := New(Config{Relay: r, Declare: r.Declare})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		k.Connected(host, "h1")
		k.Connected(guest, "g1")
		f(t, k, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets time pass, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantPair(t *testing.T, k *Keeper, a, b Member) (forA, forB []ice.Server) {
	t.Helper()
	forA, forB, err := k.Pair(t.Context(), a, b, Need{})
	if err != nil {
		t.Fatal(err)
	}
	return forA, forB
}

func wantLive(t *testing.T, r *relay, want ...string) {
	t.Helper()
	if got := r.live(); !slices.Equal(got, want) {
		t.Fatalf("live: %v, want %v", got, want)
	}
}

func TestPairIsMintedTogetherAndOnce(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		a, b, err := k.Pair(t.Context(), host, guest, Need{Bytes: 1234})
		if err != nil {
			t.Fatal(err)
		}
		if a[0].Username != "host/1" || b[0].Username != "guest/2" {
			t.Errorf("got %v and %v", a, b)
		}
		if o := r.orders[0]; o.Need.Bytes != 1234 || o.Member != host || time.Until(o.Until) != defaultGrace || time.Until(o.NotAfter) != defaultLife {
			t.Errorf("order %+v", o)
		}
		// The other one asks too: as they are, the other way round. Its address is the one it connected from.
		b2, a2 := wantPair(t, k, guest, Member{Session: "s", Peer: "host"})
		if a2[0].Username != "host/1" || b2[0].Username != "guest/2" || len(r.orders) != 2 {
			t.Errorf("asked again: %v, %v after %d mints", a2, b2, len(r.orders))
		}
	})
}

func TestPresenceKeepsItAlive(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		pass(10 * time.Minute)
		wantLive(t, r, "guest/2", "host/1")
		k.Disconnected(t.Context(), guest, "g1")
		pass(defaultGrace - time.Second)
		wantLive(t, r, "guest/2", "host/1")
		k.Connected(guest, "g2") // in time
		pass(time.Minute)
		wantLive(t, r, "guest/2", "host/1")
		k.Connected(guest, "g3")
		k.Disconnected(t.Context(), guest, "g2")
		k.Disconnected(t.Context(), guest, "unknown")
		pass(time.Minute)
		wantLive(t, r, "guest/2", "host/1")
		k.Disconnected(t.Context(), guest, "g3")
		pass(defaultGrace + time.Second)
		wantLive(t, r)
		if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrAbsent) {
			t.Errorf("after the grace: %v", err)
		}
	})
}

func TestLeaveTakesBackAtOnce(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		other := Member{Session: "s", Peer: "other"}
		k.Connected(other, "o1")
		wantPair(t, k, host, guest)
		wantPair(t, k, host, other)
		k.Left(t.Context(), guest)
		synctest.Wait()
		wantLive(t, r, "host/3", "other/4")
		if _, _, err := k.Pair(t.Context(), guest, host, Need{}); !errors.Is(err, ErrAbsent) {
			t.Errorf("after the leave: %v", err)
		}
		k.Left(t.Context(), host)
		synctest.Wait()
		wantLive(t, r)
	})
}

func TestNobodyRenewsAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rel *relay
		run := func() {
			r := &relay{until: map[string]time.Time{}}
			rel = r
			k, err := New(Config{Relay: r})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { _ = k.Run(ctx) }()
			k.Connected(host, "h")
			k.Connected(guest, "g")
			wantPair(t, k, host, guest)
			pass(time.Minute)
		}
		run()
		pass(defaultGrace)
		wantLive(t, rel)
	})
}

func TestPairNeedsBothPresentInOneSession(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		elsewhere := Member{Session: "other", Peer: "guest"}
		k.Connected(elsewhere, "e1")
		for name, with := range map[string]Member{
			"nobody":          {Session: "s", Peer: "nobody"},
			"oneself":         host,
			"another session": elsewhere,
		} {
			if _, _, err := k.Pair(t.Context(), host, with, Need{}); !errors.Is(err, ErrAbsent) {
				t.Errorf("%s: %v", name, err)
			}
		}
		k.Disconnected(t.Context(), guest, "g1")
		if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrAbsent) {
			t.Errorf("a lost connection: %v", err)
		}
		if len(r.orders) > 0 {
			t.Error("minted")
		}
	})
}

func TestMintsAreLimited(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		ask := func(i int) error {
			m := Member{Session: "s", Peer: fmt.Sprint(i)}
			k.Connected(m, "c")
			_, _, err := k.Pair(t.Context(), host, m, Need{})
			return err
		}
		for i := range memberBurst {
			if err := ask(i); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := ask(99); !errors.Is(err, ErrLimited) {
			t.Errorf("beyond the burst: %v", err)
		}
		pass(memberEvery)
		if err := ask(99); err != nil {
			t.Error(err)
		}
	})
}

func TestPrefixesAreLimited(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, _ *relay) {
		var refused int
		for i := range prefixBurst + 10 {
			a := Member{Session: "s", Peer: fmt.Sprint("a", i), Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})}
			b := Member{Session: "s", Peer: fmt.Sprint("b", i)}
			k.Connected(a, "c")
			k.Connected(b, "c")
			if _, _, err := k.Pair(t.Context(), a, b, Need{}); errors.Is(err, ErrLimited) {
				refused++
			}
		}
		if refused != 10 {
			t.Errorf("%d refused, want 10", refused)
		}
		pass(time.Hour)
		if len(k.limits.prefixes) != 0 {
			t.Error("prefixes are kept for ever")
		}
	})
}

func TestPairsOfAMemberAreBounded(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		for i := range maxPairs + 5 {
			m := Member{Session: "s", Peer: fmt.Sprint(i)}
			k.Connected(m, "c")
			wantPair(t, k, m, host) // the others pay
		}
		synctest.Wait()
		if got := len(r.live()); got != 2*maxPairs {
			t.Errorf("%d live, want %d", got, 2*maxPairs)
		}
	})
}

func TestLifeEnds(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		pass(defaultLife/2 + time.Second)
		wantPair(t, k, host, guest) // half of it is over: new ones
		synctest.Wait()
		wantLive(t, r, "guest/4", "host/3")
		pass(defaultLife + time.Minute)
		wantLive(t, r)
	})
}

func TestFailedMintLeavesNothing(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		r.fail = func(n int) error {
			if n%2 == 0 {
				return ErrSpent
			}
			return nil
		}
		if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrSpent) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		wantLive(t, r)
		r.fail = nil
		wantPair(t, k, host, guest)
	})
}

func TestLeaveDuringAMint(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		r.minting = sync.OnceFunc(func() { k.Left(t.Context(), guest) })
		if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrAbsent) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		wantLive(t, r)
	})
}

func TestBothAskAtOnce(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		r.minting = func() { time.Sleep(time.Second) }
		users := make(chan string, 2)
		for _, pair := range [][2]Member{{host, guest}, {guest, host}} {
			go func() {
				a, b, err := k.Pair(t.Context(), pair[0], pair[1], Need{})
				if err != nil || len(a) != 1 || len(b) != 1 {
					t.Error(a, b, err)
					users <- ""
					return
				}
				if pair[0] == guest {
					a = b
				}
				users <- a[0].Username
			}()
		}
		if a, b := <-users, <-users; a != b || a[:5] != "host/" {
			t.Errorf("%s and %s", a, b)
		}
		if len(r.orders) != 2 {
			t.Errorf("%d mints", len(r.orders))
		}
	})
}

func TestMembersAreBounded(t *testing.T) {
	k, err := New(Config{Relay: &relay{until: map[string]time.Time{}}, Members: 1})
	if err != nil {
		t.Fatal(err)
	}
	k.Connected(host, "h")
	k.Connected(guest, "g")
	if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v", err)
	}
}

// A room holds so many; who lost its connection keeps its place for Grace, who left does not.
func TestAdmit(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, _ *relay) {
		ctx := t.Context()
		m := func(peer string) Member { return Member{Session: "room", Peer: peer} }
		admit := func(peer, connection string) error { return k.Admit(t.Context(), m(peer), connection, 2) }
		for i, peer := range []string{"a", "b", "a"} {
			if err := admit(peer, fmt.Sprint("c", i)); err != nil {
				t.Fatalf("%s: %v", peer, err)
			}
		}
		if err := admit("c", "c3"); !errors.Is(err, ErrFull) {
			t.Errorf("a third: %v", err)
		}
		if err := k.Admit(t.Context(), Member{Session: "other", Peer: "c"}, "c4", 2); err != nil {
			t.Errorf("another room: %v", err)
		}
		k.Disconnected(ctx, m("b"), "c1")
		if err := admit("c", "c3"); !errors.Is(err, ErrFull) {
			t.Errorf("within the grace of one that is lost: %v", err)
		}
		if err := admit("b", "c5"); err != nil {
			t.Errorf("that one comes back: %v", err)
		}
		k.Left(ctx, m("a"))
		if err := admit("c", "c3"); err != nil {
			t.Errorf("after one left: %v", err)
		}
		k.Disconnected(ctx, m("b"), "c5")
		time.Sleep(30 * time.Second)
		if err := admit("d", "c6"); err != nil {
			t.Errorf("after the grace of one that is lost: %v", err)
		}
		k.Kick(ctx, m("d"))
		if err := admit("d", "c7"); !errors.Is(err, ErrKicked) {
			t.Errorf("after a kick: %v", err)
		}
		if err := admit("e", "c8"); err != nil {
			t.Errorf("in the place of one that was kicked: %v", err)
		}
		for _, peer := range []string{"c", "e"} {
			k.Left(ctx, m(peer))
		}
		if n := k.present["room"]; n != 0 {
			t.Errorf("an empty room counts %d", n)
		}
	})
}

func TestNew(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no relay":        {},
		"short grace":     {Relay: &relay{}, Grace: time.Millisecond},
		"life in a grace": {Relay: &relay{}, Life: time.Second},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKick(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		k.Connected(guest, "g2")
		if got := k.Kick(t.Context(), guest); !slices.Equal(got, []string{"g1", "g2"}) {
			t.Errorf("connections %v", got)
		}
		synctest.Wait()
		wantLive(t, r)
		if k.Connected(guest, "g3") {
			t.Error("came back")
		}
		if _, _, err := k.Pair(t.Context(), host, guest, Need{}); !errors.Is(err, ErrAbsent) {
			t.Errorf("after the kick: %v", err)
		}
		if got := k.Kick(t.Context(), Member{Session: "s", Peer: "nobody"}); got != nil {
			t.Errorf("nobody's connections: %v", got)
		}
		pass(defaultLife + time.Minute)
		if !k.Connected(guest, "g4") {
			t.Error("shut out for ever")
		}
	})
}

func TestWhatTheRelayHasEndedIsMintedAnew(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		if err := r.Revoke(t.Context(), "host/1"); err != nil { // by the relay itself
			t.Fatal(err)
		}
		pass(defaultGrace)
		wantLive(t, r) // one end of a pair is no use
		wantPair(t, k, host, guest)
		wantLive(t, r, "guest/4", "host/3")
	})
}

func TestDescriptionsReachTheRelay(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		k.Described(t.Context(), host, ice.Auth{Ufrag: "u1", Pwd: "p1"})
		wantPair(t, k, host, guest)
		if got := r.orders[0].Auth; len(got) != 1 || got[0].Ufrag != "u1" || r.orders[1].Auth != nil {
			t.Errorf("orders %+v", r.orders)
		}
		for i := range maxAuth + 3 {
			k.Described(t.Context(), guest, ice.Auth{Ufrag: fmt.Sprint(i)})
		}
		synctest.Wait()
		k.mu.Lock()
		defer k.mu.Unlock()
		if got := k.members[guest.key()].auth; len(got) != maxAuth || got[maxAuth-1].Ufrag != fmt.Sprint(maxAuth+2) {
			t.Errorf("kept %v", got)
		}
	})
}
