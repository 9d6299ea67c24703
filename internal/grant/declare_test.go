package grant

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
)

// Declare takes at most 1000 bytes.
func (r *relay) Declare(_ context.Context, handle string, bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.declared = append(r.declared, fmt.Sprint(handle, ":", bytes))
	if bytes > 1000 {
		return fmt.Errorf("too much: %w", ErrShort)
	}
	return nil
}

// What the one who asks first does not know, the other says; and what can't be, is not for the first either.
func TestDeclareLater(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		wantPair(t, k, guest, host)
		if _, _, err := k.Pair(t.Context(), host, guest, Need{Bytes: 900}); err != nil {
			t.Fatal(err)
		}
		wantPair(t, k, guest, host)
		if _, _, err := k.Pair(t.Context(), host, guest, Need{Bytes: 900}); err != nil || !slices.Equal(r.declared, []string{"guest/1:900", "host/2:900"}) {
			t.Errorf("declared %v, %v", r.declared, err)
		}
		wantLive(t, r, "guest/1", "host/2")
		if _, _, err := k.Pair(t.Context(), host, guest, Need{Bytes: 1001}); !errors.Is(err, ErrShort) {
			t.Errorf("too much: %v", err)
		}
		synctest.Wait()
		wantLive(t, r)
		if _, _, err := k.Pair(t.Context(), guest, host, Need{}); !errors.Is(err, ErrShort) {
			t.Errorf("the one who does not know: %v", err)
		}
		pass(shortFor)
		wantPair(t, k, guest, host)
	})
}

func TestTooMuchAtOnce(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, r *relay) {
		r.fail = func(int) error { return ErrShort }
		for _, need := range []Need{{Bytes: 5000}, {}} { // the second does not even ask
			if _, _, err := k.Pair(t.Context(), host, guest, need); !errors.Is(err, ErrShort) {
				t.Errorf("%v: %v", need, err)
			}
		}
		if len(r.orders) != 1 {
			t.Errorf("%d mints", len(r.orders))
		}
		r.fail = nil
		pass(shortFor)
		wantPair(t, k, host, guest)
		k.Left(t.Context(), guest)
		synctest.Wait()
		wantLive(t, r)
	})
}

func TestMovedIsTold(t *testing.T) {
	run(t, func(t *testing.T, k *Keeper, _ *relay) {
		var told []Member
		k.cfg.Moved = func(m Member) { told = append(told, m) }
		moved := host
		moved.Addr = netip.MustParseAddr("198.51.100.9")
		k.Connected(moved, "h2") // without a pair nobody needs to know
		wantPair(t, k, host, guest)
		k.Connected(moved, "h3")
		k.Connected(host, "h4")
		if len(told) != 1 || told[0] != host {
			t.Errorf("told %v", told)
		}
	})
}
