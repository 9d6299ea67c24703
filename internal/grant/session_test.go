package grant

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestSessionsAndEnd(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		ctx := t.Context()
		a, b := Member{Session: "x", Peer: "a"}, Member{Session: "x", Peer: "b"}
		other := Member{Session: "t", Peer: "a"}
		for connection, m := range map[string]Member{"1": a, "2": a, "3": b, "4": other} {
			k.Connected(m, connection)
		}
		if _, _, err := k.Pair(ctx, a, b, Need{}); err != nil {
			t.Fatal(err)
		}
		list := slices.DeleteFunc(k.Sessions(), func(s SessionState) bool { return s.ID == host.Session })
		slices.SortFunc(list, func(a, b SessionState) int { return b.Connections - a.Connections })
		if want := []SessionState{{"x", 2, 3, 1}, {"t", 1, 1, 0}}; !slices.Equal(list, want) {
			t.Errorf("sessions %+v, want %+v", list, want)
		}
		ids, ok := k.End(ctx, "x")
		if !ok || !slices.Equal(ids, []string{"1", "2", "3"}) {
			t.Errorf("end: %v, %v", ids, ok)
		}
		synctest.Wait()
		if live := r.live(); len(live) != 0 {
			t.Errorf("%v are live still", live)
		}
		if err := k.Admit(ctx, Member{Session: "x", Peer: "new"}, "5", 0); !errors.Is(err, ErrKicked) {
			t.Errorf("a newcomer: %v", err)
		}
		if err := k.Admit(ctx, other, "6", 0); err != nil {
			t.Errorf("another session: %v", err)
		}
		if _, ok := k.End(ctx, "x"); ok {
			t.Error("it was ended twice")
		}
	})
}
