// Package usergroup remembers which users are in which groups of a hub. Such a
// membership outlives connections: it lasts for its ttl, or for a year (spec §4.5).
//
// Nodes of a cluster each hold all memberships, and tell each other changes. Each
// change has a time, and of two changes to a membership the later one counts, in
// whatever order they come; removals are remembered for a while to that end.
//
// A Table is bounded: by a number of entries, of which changes over it are
// refused, and by 100 memberships without ttl for each user, of which the oldest
// is forgotten.
package usergroup

import (
	"errors"
	"time"
)

// Entry is one user's membership of one group, or the end of it.
type Entry struct {
	At      int64 // unix nanoseconds of the change
	Expires int64 // unix nanoseconds
	Removed bool  `json:",omitempty"`
	// Capped memberships came without ttl, and only the latest of them are kept.
	Capped bool `json:",omitempty"`
}

const (
	// maxTTL bounds the ttl of a membership; it is also that of one without.
	maxTTL = 365 * 24 * time.Hour
	// cappedGroups is how many memberships without ttl a user has.
	cappedGroups = 100
	// remembered is how long a removal is.
	remembered = time.Minute
)

// ErrFull says that a Table has no room for another membership.
var ErrFull = errors.New("too many users in groups are remembered")

// Added is a membership that begins at now; ttl < 0 is none given.
func Added(now int64, ttl time.Duration) Entry {
	if ttl < 0 {
		return Entry{At: now, Expires: now + int64(maxTTL), Capped: true}
	}
	return Entry{At: now, Expires: now + int64(min(ttl, maxTTL))}
}

// Removed is a membership that ends at now.
func Removed(now int64) Entry {
	return Entry{At: now, Expires: now + int64(remembered), Removed: true}
}

// Table holds memberships. The zero Table is empty. It is not safe for concurrent use.
type Table struct {
	byUser map[string]map[string]Entry // user, group
	n      int
}

// Groups lists the groups that user is in.
func (t *Table) Groups(user string, now int64) (groups []string) {
	for g, e := range t.byUser[user] {
		if !e.Removed && e.Expires > now {
			groups = append(groups, g)
		}
	}
	return groups
}

// Has says whether user is in group.
func (t *Table) Has(user, group string, now int64) bool {
	e, ok := t.byUser[user][group]
	return ok && !e.Removed && e.Expires > now
}

// Put stores e, unless something later is known; it says whether it did.
// ErrFull if the table would exceed limit entries.
func (t *Table) Put(user, group string, e Entry, limit int) (stored bool, err error) {
	groups := t.byUser[user]
	old, known := groups[group]
	if known && old.At > e.At {
		return false, nil
	}
	if !known {
		if t.n >= limit {
			return false, ErrFull
		}
		if groups == nil {
			groups = map[string]Entry{}
			if t.byUser == nil {
				t.byUser = map[string]map[string]Entry{}
			}
			t.byUser[user] = groups
		}
		t.n++
	}
	groups[group] = e
	if e.Capped {
		t.evict(user)
	}
	return true, nil
}

// evict forgets the oldest membership without ttl if there are too many.
func (t *Table) evict(user string) {
	n, oldest := 0, ""
	for g, e := range t.byUser[user] {
		if !e.Capped || e.Removed {
			continue
		}
		if n++; oldest == "" || e.At < t.byUser[user][oldest].At {
			oldest = g
		}
	}
	if n > cappedGroups {
		t.drop(user, oldest)
	}
}

func (t *Table) drop(user, group string) {
	groups := t.byUser[user]
	delete(groups, group)
	if t.n--; len(groups) == 0 {
		delete(t.byUser, user)
	}
}

// RemoveAll ends the memberships of user that began before now.
func (t *Table) RemoveAll(user string, now int64) {
	for g, e := range t.byUser[user] {
		if e.At <= now {
			t.byUser[user][g] = Removed(now)
		}
	}
}

// Expire drops what is over.
func (t *Table) Expire(now int64) {
	for user, groups := range t.byUser {
		for g, e := range groups {
			if e.Expires <= now {
				t.drop(user, g)
			}
		}
	}
}

// Each calls f for every entry.
func (t *Table) Each(f func(user, group string, e Entry)) {
	for user, groups := range t.byUser {
		for g, e := range groups {
			f(user, g, e)
		}
	}
}

// Len is the number of entries, remembered removals included.
func (t *Table) Len() int { return t.n }
