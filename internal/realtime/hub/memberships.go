package hub

import (
	"context"
	"slices"
	"time"

	"causeway/internal/realtime"
)

// memberships are groups of users, which outlive connections (§4.5). They belong
// to space.mu. Nodes of a cluster each hold all of them; of two changes to the
// same membership the later one counts, wherever it comes first.
type memberships struct {
	byUser map[string]map[string]membership // user, group
	n      int                              // entries, removed ones included
}

// membership is one user's membership of one group.
type membership struct {
	at      int64 // unix nanoseconds of the change
	expires int64 // unix nanoseconds
	removed bool  // a tombstone, so that an older addition can't come late
	capped  bool  // came without ttl: only the latest 100 of these are kept
}

const (
	// maxTTL bounds the ttl of a membership; it is also that of one without.
	maxTTL = 365 * 24 * time.Hour
	// cappedGroups is how many memberships without ttl a user has.
	cappedGroups = 100
	// tombstone is how long a removal is remembered.
	tombstone = time.Minute
)

// of lists the groups that a new connection of user joins.
func (m *memberships) of(user string, now int64) (groups []string) {
	for g, e := range m.byUser[user] {
		if !e.removed && e.expires > now {
			groups = append(groups, g)
		}
	}
	return groups
}

func (m *memberships) has(user, group string, now int64) bool {
	e, ok := m.byUser[user][group]
	return ok && !e.removed && e.expires > now
}

// put stores e unless something later is known, and says whether it did.
func (m *memberships) put(user, group string, e membership, limit int) (stored bool, err error) {
	groups := m.byUser[user]
	old, known := groups[group]
	if known && old.at > e.at {
		return false, nil
	}
	if !known {
		if m.n >= limit {
			return false, &realtime.Error{Code: "too_many_user_groups", Message: "too many users in groups are remembered"}
		}
		m.n++
		if groups == nil {
			groups = map[string]membership{}
			if m.byUser == nil {
				m.byUser = map[string]map[string]membership{}
			}
			m.byUser[user] = groups
		}
	}
	groups[group] = e
	if e.capped && !e.removed {
		m.evict(user)
	}
	return true, nil
}

// evict forgets the oldest membership without ttl if there are too many.
func (m *memberships) evict(user string) {
	n, oldest := 0, ""
	for g, e := range m.byUser[user] {
		if !e.capped || e.removed {
			continue
		}
		if n++; oldest == "" || e.at < m.byUser[user][oldest].at {
			oldest = g
		}
	}
	if n > cappedGroups {
		m.drop(user, oldest)
	}
}

func (m *memberships) drop(user, group string) {
	groups := m.byUser[user]
	if _, ok := groups[group]; !ok {
		return
	}
	delete(groups, group)
	if m.n--; len(groups) == 0 {
		delete(m.byUser, user)
	}
}

// expire drops what is over.
func (m *memberships) expire(now int64) {
	for user, groups := range m.byUser {
		for g, e := range groups {
			if e.expires <= now {
				m.drop(user, g)
			}
		}
	}
}

// clockNow is the time by which memberships expire.
func (h *Hub) clockNow() int64 { return time.Now().UnixNano() }

// forgetMemberships drops expired memberships, every minute.
func (h *Hub) forgetMemberships() {
	if h.now()%60 != 0 {
		return
	}
	h.mu.Lock()
	spaces := make([]*space, 0, len(h.spaces))
	for _, s := range h.spaces {
		spaces = append(spaces, s)
	}
	h.mu.Unlock()
	now := h.clockNow()
	for _, s := range spaces {
		s.mu.Lock()
		s.lasting.expire(now)
		s.mu.Unlock()
	}
}

// userGroup is a change of a membership, as it travels between nodes.
type userGroup struct {
	User, Group string
	Entry       wireMembership
	// Now says that only the connections that exist are meant, and nothing is kept.
	Now bool `json:",omitempty"`
}

type wireMembership struct {
	At, Expires     int64
	Removed, Capped bool `json:",omitempty"`
}

// apply carries a change out on this node.
func (s *space) apply(u userGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := membership{at: u.Entry.At, expires: u.Entry.Expires, removed: u.Entry.Removed, capped: u.Entry.Capped}
	if u.Group == "" {
		s.removeAll(u.User, e.at)
		return nil
	}
	if !u.Now {
		// Connections that exist keep a membership that is evicted.
		stored, err := s.lasting.put(u.User, u.Group, e, s.hub.cfg.Limits.UserGroups)
		if err != nil {
			s.hub.metrics.refused.WithLabelValues("user_groups").Inc()
			return err
		}
		if !stored {
			return nil
		}
	}
	us := s.users[u.User]
	if us == nil {
		return nil
	}
	for _, c := range us.list {
		if e.removed {
			s.leaveLocked(c, u.Group)
		} else if err := s.joinLocked(c, u.Group); err != nil {
			return err
		}
	}
	return nil
}

// change applies a change here and on the other nodes.
func (s *Service) change(ctx context.Context, u userGroup) error {
	if err := s.space.apply(u); err != nil {
		return err
	}
	return s.space.hub.cluster.changeUserGroup(ctx, s.space.name, u)
}

// AddUserToGroup puts all connections of user into group; see realtime.UserGroups.
func (s *Service) AddUserToGroup(ctx context.Context, group, user string, ttl time.Duration) error {
	now := s.space.hub.clockNow()
	e := wireMembership{At: now, Expires: now + int64(min(ttl, maxTTL))}
	if ttl < 0 {
		e.Expires, e.Capped = now+int64(maxTTL), true
	}
	return s.change(ctx, userGroup{User: user, Group: group, Entry: e, Now: ttl == 0})
}

// RemoveUserFromGroup takes all connections of user out of group.
func (s *Service) RemoveUserFromGroup(ctx context.Context, group, user string) error {
	now := s.space.hub.clockNow()
	return s.change(ctx, userGroup{User: user, Group: group, Entry: wireMembership{At: now, Expires: now + int64(tombstone), Removed: true}})
}

// RemoveUserFromAllGroups takes all connections of user out of all groups.
func (s *Service) RemoveUserFromAllGroups(ctx context.Context, user string) error {
	return s.change(ctx, userGroup{User: user, Entry: wireMembership{At: s.space.hub.clockNow(), Removed: true}})
}

// UserInGroup says whether user was added to group.
func (s *Service) UserInGroup(_ context.Context, group, user string) (bool, error) {
	s.space.mu.RLock()
	defer s.space.mu.RUnlock()
	return s.space.lasting.has(user, group, s.space.hub.clockNow()), nil
}

// removeAll forgets all groups of a user; see apply. The caller holds mu.
func (s *space) removeAll(user string, at int64) {
	for g, e := range s.lasting.byUser[user] {
		if e.at <= at {
			s.lasting.byUser[user][g] = membership{at: at, expires: at + int64(tombstone), removed: true}
		}
	}
	if us := s.users[user]; us != nil {
		for _, c := range slices.Clone(us.list) {
			s.leaveLocked(c, "")
		}
	}
}
