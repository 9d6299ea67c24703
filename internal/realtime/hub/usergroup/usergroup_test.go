package usergroup

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

const sec = int64(time.Second)

func put(t *testing.T, tb *Table, user, group string, e Entry) bool {
	t.Helper()
	stored, err := tb.Put(user, group, e, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestTTL(t *testing.T) {
	var tb Table
	put(t, &tb, "ann", "short", Added(0, 10*time.Second))
	put(t, &tb, "ann", "long", Added(0, -1))
	put(t, &tb, "ann", "endless", Added(0, 1<<62))
	if !tb.Has("ann", "short", 9*sec) || tb.Has("ann", "short", 10*sec) || tb.Has("bob", "short", 0) {
		t.Error("a membership lasts for its ttl")
	}
	tb.Expire(11 * sec)
	got := tb.Groups("ann", 11*sec)
	slices.Sort(got)
	if !slices.Equal(got, []string{"endless", "long"}) || tb.Len() != 2 {
		t.Errorf("groups %v, %d entries", got, tb.Len())
	}
	tb.Expire(int64(maxTTL) + sec)
	if tb.Len() != 0 || len(tb.byUser) != 0 {
		t.Errorf("%d entries after a year", tb.Len())
	}
}

func TestLaterCounts(t *testing.T) {
	var tb Table
	put(t, &tb, "ann", "g", Removed(20))
	if put(t, &tb, "ann", "g", Added(10, time.Hour)) || tb.Has("ann", "g", 30) {
		t.Error("an addition that comes after a later removal counted")
	}
	if !put(t, &tb, "ann", "g", Added(30, time.Hour)) || !tb.Has("ann", "g", 30) {
		t.Error("a later addition did not count")
	}
	if put(t, &tb, "ann", "g", Removed(25)) {
		t.Error("an earlier removal counted")
	}
	tb.RemoveAll("ann", 29)
	if !tb.Has("ann", "g", 30) {
		t.Error("removing all removed what began later")
	}
	tb.RemoveAll("ann", 40)
	if tb.Has("ann", "g", 41) || len(tb.Groups("ann", 41)) != 0 {
		t.Error("removing all left something")
	}
}

func TestBounds(t *testing.T) {
	var tb Table
	for i := range 150 {
		put(t, &tb, "ann", fmt.Sprint(i), Added(int64(i), -1))
	}
	put(t, &tb, "ann", "ttl", Added(0, time.Hour))
	if n := len(tb.Groups("ann", 200)); n != 101 || tb.Has("ann", "49", 200) || !tb.Has("ann", "50", 200) {
		t.Errorf("%d groups; the latest 100 without ttl are kept, and those with", n)
	}
	var full Table
	for i := range 3 {
		_, err := full.Put("u", fmt.Sprint(i), Added(0, time.Hour), 2)
		if (i < 2) != (err == nil) || i == 2 && !errors.Is(err, ErrFull) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if _, err := full.Put("u", "1", Removed(5), 2); err != nil {
		t.Error("what is known can be changed when full:", err)
	}
	n := 0
	full.Each(func(string, string, Entry) { n++ })
	if n != full.Len() {
		t.Errorf("Each called %d times for %d entries", n, full.Len())
	}
}
