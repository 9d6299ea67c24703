package grant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// everywhere names all credentials.
func everywhere(string) bool { return true }

func TestPairsMove(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		var told []Moved
		n := k.Move(t.Context(), false, func(h string) bool { return h == "host/1" }, func(_ context.Context, m Moved) { told = append(told, m) })
		if n != 1 || len(told) != 1 || told[0].Members != [2]Member{host, guest} || told[0].Servers[0][0].Username != "host/3" || told[0].Servers[1][0].Username != "guest/4" {
			t.Fatalf("moved %d: %+v", n, told)
		}
		// Both are kept alive until ICE has changed over; who asks gets the new ones.
		pass(overlap / 2)
		wantLive(t, r, "guest/2", "guest/4", "host/1", "host/3")
		if a, _ := wantPair(t, k, host, guest); a[0].Username != "host/3" {
			t.Errorf("asked again: %v", a)
		}
		pass(overlap)
		wantLive(t, r, "guest/4", "host/3")
		if n := k.Move(t.Context(), false, func(h string) bool { return h == "host/1" }, nil); n != 0 {
			t.Errorf("moved %d again", n)
		}
		k.Left(t.Context(), host)
		pass(0)
		wantLive(t, r)
	})
}

func TestAMoveFromARelayThatIsGoneLeavesNothing(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		if n := k.Move(t.Context(), true, everywhere, func(context.Context, Moved) {}); n != 1 {
			t.Errorf("moved %d", n)
		}
		synctest.Wait()
		wantLive(t, r, "guest/4", "host/3")
	})
}

func TestWithoutAnotherRelay(t *testing.T) {
	for _, gone := range []bool{false, true} {
		run(t, func(t *testing.T, k *Keeper, r *relay) {
			wantPair(t, k, host, guest)
			r.fail = func(int) error { return errors.New("no") }
			if n := k.Move(t.Context(), gone, everywhere, nil); n != 0 {
				t.Errorf("moved %d", n)
			}
			r.fail = nil
			synctest.Wait()
			want := []string{"guest/2", "host/1"} // it drains, and serves on
			if gone {
				want = nil
			}
			wantLive(t, r, want...)
			a, _ := wantPair(t, k, host, guest) // who asks is given what there is
			if old := a[0].Username == "host/1"; old == gone {
				t.Errorf("gone %v: %v", gone, a)
			}
		})
	}
}

// A member that leaves while its pair is moved gets nothing, and one that asks waits for it.
func TestMovesAndOthersAtOnce(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		asked := make(chan string, 1)
		r.minting = func() {
			r.minting = nil
			go func() {
				a, _, _ := k.Pair(t.Context(), host, guest, Need{})
				asked <- a[0].Username
			}()
			time.Sleep(time.Second)
		}
		k.Move(t.Context(), false, everywhere, func(context.Context, Moved) {})
		if got := <-asked; got != "host/3" {
			t.Errorf("who asked during a move got %s", got)
		}
		r.minting = func() { k.Left(t.Context(), host) }
		if n := k.Move(t.Context(), false, everywhere, nil); n != 0 {
			t.Errorf("moved %d", n)
		}
		synctest.Wait()
		wantLive(t, r)
	})
}

// A second move, before the overlap of the first is over, leaves no credential behind.
func TestMovesInARow(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, host, guest)
		for range 2 {
			k.Move(t.Context(), false, everywhere, func(context.Context, Moved) {})
		}
		synctest.Wait()
		wantLive(t, r, "guest/4", "guest/6", "host/3", "host/5")
		pass(2 * overlap)
		if got := r.live(); slices.ContainsFunc(got, func(h string) bool { return !strings.HasSuffix(h, "5") && !strings.HasSuffix(h, "6") }) {
			t.Errorf("live: %v", got)
		}
	})
}
