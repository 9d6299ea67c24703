package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sorted makes pages comparable.
func sorted(p Page) Page {
	slices.SortFunc(p.Members, func(a, b PageMember) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(p.Grants, func(a, b PageGrant) int { return strings.Compare(a.ID, b.ID) })
	return p
}

// TestBooksAreTheLedger: whatever is done to a Ledger, done to its stored accounts one at a time, it has
// the same outcome and leaves the same accounts. So nothing that matters is forgotten between two visits.
func TestBooksAreTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := walkConfig("")
		cfg.Session.Bytes = 8 * mb
		for seed := range uint64(5) {
			l := open(t, cfg)
			b, err := NewBookkeeper(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var total, page []byte // as they are stored
			r := rand.New(rand.NewPCG(seed, 3))
			for step := range 300 {
				what := someStep(r)
				wantN, wantErr := what(l)
				var of Total
				var p Page
				for stored, to := range map[*[]byte]any{&total: &of, &page: &p} {
					if len(*stored) > 0 {
						if err := json.Unmarshal(*stored, to); err != nil {
							t.Fatal(err)
						}
					}
				}
				var n int64
				if _, err = b.Do(&of, &p, func(l *Ledger) (err error) { n, err = what(l); return err }); n != wantN || fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Fatalf("seed %d, step %d: %d, %v; the ledger: %d, %v", seed, step, n, err, wantN, wantErr)
				}
				var want Total
				l.storeTotal(&want)
				if string(encoded(t, of)) != string(encoded(t, want)) {
					t.Fatalf("seed %d, step %d: total\n%+v, the ledger\n%+v", seed, step, of, want)
				}
				var wantPage Page
				if s := l.sessions["s"]; s != nil {
					wantPage = l.page(s)
				}
				if got, want := encoded(t, sorted(p)), encoded(t, sorted(wantPage)); string(got) != string(want) {
					t.Fatalf("seed %d, step %d: page\n%s, the ledger\n%s", seed, step, got, want)
				}
				total, page = encoded(t, of), encoded(t, p)
				time.Sleep(time.Duration(r.IntN(3)) * 7 * time.Minute) // days pass, too
			}
		}
	})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// someStep is one thing to do to a ledger, with all chances drawn.
func someStep(r *rand.Rand) func(*Ledger) (int64, error) {
	id := fmt.Sprint("g", r.IntN(5))
	a, b, c := r.Int64N(200_000), r.Int64N(200_000), r.Int64N(100_000)
	switch r.IntN(8) {
	case 0:
		chain := Chain{Session: "s", Member: fmt.Sprint("m", r.IntN(3)), Price: []string{"", "p"}[r.IntN(2)], Daily: Cap{Bytes: 8 * mb}}
		return func(l *Ledger) (int64, error) { return 0, l.Open(id, chain, 0) }
	case 1:
		return func(l *Ledger) (int64, error) { l.CloseGrant(id); return 0, nil }
	case 2, 3:
		return func(l *Ledger) (int64, error) {
			return 0, l.Settle(context.Background(), id, min(a, b), min(a, b, c), c)
		}
	case 4:
		return func(l *Ledger) (int64, error) { return 0, l.Charge(id, 10*a) }
	default:
		return func(l *Ledger) (int64, error) { return l.Lease(context.Background(), id, 1+a) }
	}
}
