package hub

import (
	"context"
	"slices"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/usergroup"
)

// userGroup is a change of a user's membership, as it travels between nodes.
type userGroup struct {
	User  string
	Group string // empty: every group
	Entry usergroup.Entry
	// Now says that only the connections that exist are meant, and nothing is kept.
	Now bool `json:",omitempty"`
}

// apply carries a change out on this node.
func (s *space) apply(u userGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case u.Group == "":
		s.lasting.RemoveAll(u.User, u.Entry.At)
	case !u.Now:
		stored, err := s.lasting.Put(u.User, u.Group, u.Entry, s.hub.cfg.Limits.UserGroups)
		if err != nil {
			s.hub.metrics.refused.WithLabelValues("user_groups").Inc()
			return &realtime.Error{Code: "too_many_user_groups", Message: err.Error()}
		}
		if !stored {
			return nil
		}
	}
	us := s.users[u.User]
	if us == nil {
		return nil
	}
	var err error
	for _, c := range slices.Clone(us.List()) {
		if u.Group == "" || u.Entry.Removed {
			s.leaveLocked(c, u.Group)
		} else if e := s.joinLocked(c, u.Group); e != nil {
			err = e
		}
	}
	return err
}

// change applies a change here and on the other nodes.
func (s *Service) change(ctx context.Context, u userGroup) error {
	if err := s.space.apply(u); err != nil {
		return err
	}
	return s.cluster().tell(ctx, "", &envelope{Op: opUserGroup, Hub: s.space.name, Change: &u})
}

// AddUserToGroup puts all connections of user into group; see realtime.UserGroups.
func (s *Service) AddUserToGroup(ctx context.Context, group, user string, ttl time.Duration) error {
	return s.change(ctx, userGroup{User: user, Group: group, Entry: usergroup.Added(clockNow(), ttl), Now: ttl == 0})
}

// RemoveUserFromGroup takes all connections of user out of group.
func (s *Service) RemoveUserFromGroup(ctx context.Context, group, user string) error {
	return s.change(ctx, userGroup{User: user, Group: group, Entry: usergroup.Removed(clockNow())})
}

// RemoveUserFromAllGroups takes all connections of user out of all groups.
func (s *Service) RemoveUserFromAllGroups(ctx context.Context, user string) error {
	return s.change(ctx, userGroup{User: user, Entry: usergroup.Removed(clockNow())})
}

// UserInGroup says whether user was added to group.
func (s *Service) UserInGroup(_ context.Context, group, user string) (bool, error) {
	s.space.mu.RLock()
	defer s.space.mu.RUnlock()
	return s.space.lasting.Has(user, group, clockNow()), nil
}

// changes lists what a node that joins must know.
func (s *space) changes() (all []userGroup) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.lasting.Each(func(user, group string, e usergroup.Entry) {
		all = append(all, userGroup{User: user, Group: group, Entry: e})
	})
	return all
}

// clockNow is the time by which memberships expire.
func clockNow() int64 { return time.Now().UnixNano() }

// expireUserGroups drops memberships that are over, once a minute.
func (h *Hub) expireUserGroups() {
	if h.now()%60 != 0 {
		return
	}
	now := clockNow()
	for _, s := range h.allSpaces() {
		s.mu.Lock()
		s.lasting.Expire(now)
		s.mu.Unlock()
	}
}
