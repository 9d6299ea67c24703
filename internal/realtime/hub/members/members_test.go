package members

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSet compares a set with a map through random changes, across the size at
// which the index appears.
func TestSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Set[int]
	want := map[int]bool{}
	for range 20_000 {
		m := r.IntN(3 * short)
		if r.IntN(2) == 0 {
			if s.Add(m) == want[m] {
				t.Fatalf("add %d: it was a member: %v", m, want[m])
			}
			want[m] = true
		} else {
			if s.Remove(m) != want[m] {
				t.Fatalf("remove %d: it was a member: %v", m, want[m])
			}
			delete(want, m)
		}
		if s.Len() != len(want) || s.Has(m) != want[m] {
			t.Fatalf("%d members, want %d", s.Len(), len(want))
		}
	}
	for _, m := range s.List() {
		if !want[m] {
			t.Errorf("%d is listed", m)
		}
	}
	list := slices.Sorted(slices.Values(s.List()))
	if len(slices.Compact(list)) != len(want) {
		t.Errorf("%d are listed, want %d", len(list), len(want))
	}
}
