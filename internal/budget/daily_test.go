package budget

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDaily: a session with a cap of its own has it whole for each of its members, and again on
// the next day.
func TestDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is midnight
		l := open(t, Config{Session: Cap{Bytes: 100 * mb}, MemberShare: 50})
		chain := Chain{Session: "demo", Member: "a", Daily: Cap{Bytes: 10 * mb}}
		if err := l.Open("g", chain, 0); err != nil {
			t.Fatal(err)
		}
		spend := func() (total int64) {
			for {
				n, err := l.Lease(t.Context(), "g", mb)
				if errors.Is(err, ErrSpent) {
					return total
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := l.Settle(t.Context(), "g", n, 0, 0); err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
		if got := spend(); got != 10*mb {
			t.Errorf("spent %d on the first day", got)
		}
		if err := l.Open("h", chain, 0); !errors.Is(err, ErrSpent) {
			t.Errorf("another grant: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if got := spend(); got != 10*mb {
			t.Errorf("spent %d on the second day", got)
		}
		if err := l.Open("i", Chain{Session: "s", Member: "a", Daily: Cap{Bytes: -1}}, 0); err == nil {
			t.Error("a negative cap was taken")
		}
	})
}
