package hub

import (
	"slices"
	"sync"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/members"
	"causeway/internal/realtime/hub/usergroup"
)

// space is one named hub: its open connections, groups and users on this node.
type space struct {
	hub     *Hub
	name    string
	handler realtime.Handler
	prompt  bool // handler runs on the goroutines that read

	mu      sync.RWMutex
	byID    map[string]*conn
	all     []*conn // in no order; conn.slot is the index
	groups  map[string]*group
	users   map[string]*members.Set[*conn]
	lasting usergroup.Table // groups of users, whether they are connected or not
}

func newSpace(h *Hub, name string, handler realtime.Handler) *space {
	_, prompt := handler.(realtime.Prompt)
	_, raw := handler.(realtime.RawHandler)
	return &space{hub: h, name: name, handler: handler, prompt: prompt && !raw && h.cluster == nil, byID: map[string]*conn{}, groups: map[string]*group{}, users: map[string]*members.Set[*conn]{}}
}

// group is a group that has members.
type group struct {
	name string
	members.Set[*conn]
}

// add makes an open connection reachable, unless it was closed meanwhile.
func (s *space) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	ok := c.state == open
	c.mu.Unlock()
	if !ok {
		return false
	}
	s.byID[c.info.ID] = c
	c.slot = len(s.all)
	s.all = append(s.all, c)
	if u := c.info.User; u != "" {
		us := s.users[u]
		if us == nil {
			us = &members.Set[*conn]{}
			s.users[u] = us
		}
		us.Add(c)
		for _, g := range s.lasting.Groups(u, clockNow()) {
			_ = s.joinLocked(c, g) // over the limit is counted
		}
	}
	return true
}

// remove makes c unreachable.
func (s *space) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[c.info.ID] != c {
		return
	}
	delete(s.byID, c.info.ID)
	last := len(s.all) - 1
	s.all[c.slot] = s.all[last]
	s.all[c.slot].slot = c.slot
	s.all[last] = nil
	s.all = s.all[:last]
	if us := s.users[c.info.User]; us != nil {
		if us.Remove(c); us.Len() == 0 {
			delete(s.users, c.info.User)
		}
	}
	for _, g := range c.groups {
		s.leaveGroupLocked(c, g)
	}
	c.groups = nil
}

// join adds the connection id to a group.
func (s *space) join(name, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[id]
	if c == nil {
		return realtime.ErrNoConnection
	}
	return s.joinLocked(c, name)
}

// joinLocked adds c to a group. conn.groups belongs to space.mu, like all of this.
func (s *space) joinLocked(c *conn, name string) error {
	g := s.groups[name]
	if g != nil && g.Has(c) {
		return nil
	}
	if len(c.groups) >= s.hub.cfg.Limits.Groups {
		s.hub.metrics.refused.WithLabelValues("groups").Inc()
		return &realtime.Error{Code: "too_many_groups", Message: "the connection is in too many groups"}
	}
	if g == nil {
		g = &group{name: name}
		s.groups[name] = g
	}
	g.Add(c)
	c.groups = append(c.groups, g)
	return nil
}

// leave removes the connection id from a group; an empty name means all groups.
// It says whether the connection is known.
func (s *space) leave(name, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[id]
	if c == nil {
		return false
	}
	s.leaveLocked(c, name)
	return true
}

func (s *space) leaveLocked(c *conn, name string) {
	kept := c.groups[:0]
	for _, g := range c.groups {
		if name == "" || g.name == name {
			s.leaveGroupLocked(c, g)
		} else {
			kept = append(kept, g)
		}
	}
	clear(c.groups[len(kept):])
	c.groups = kept
}

func (s *space) leaveGroupLocked(c *conn, g *group) {
	if g.Remove(c); g.Len() == 0 {
		delete(s.groups, g.name)
	}
}

// find returns the connections of this node that to names, except excluded ones.
// The result is the caller's, in the memory of buf if that is enough.
func (s *space) find(to realtime.Recipient, buf []*conn) []*conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findLocked(to, buf)
}

func (s *space) findLocked(to realtime.Recipient, buf []*conn) []*conn {
	var from []*conn
	switch to.Kind {
	case realtime.KindConnection:
		if c := s.byID[to.ID]; c != nil {
			return append(buf, c)
		}
		return nil
	case realtime.KindAll:
		from = s.all
	case realtime.KindGroup:
		if g := s.groups[to.ID]; g != nil {
			from = g.List()
		}
	case realtime.KindUser:
		if u := s.users[to.ID]; u != nil {
			from = u.List()
		}
	}
	if len(from) == 0 {
		return nil
	}
	out := slices.Grow(buf, len(from))
	for _, c := range from {
		if !excluded(to, c.info.ID) {
			out = append(out, c)
		}
	}
	return out
}

// excluded says whether to excludes the connection id. Lists are short: they come
// in a query string.
func excluded(to realtime.Recipient, id string) bool {
	if to.Kind != realtime.KindAll && to.Kind != realtime.KindGroup {
		return false
	}
	for _, x := range to.Excluded {
		if x == id {
			return true
		}
	}
	return false
}
