package hub

import (
	"sync"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/usergroup"
)

// space is one named hub: its open connections, groups and users on this node.
type space struct {
	hub     *Hub
	name    string
	handler realtime.Handler

	mu      sync.RWMutex
	byID    map[string]*conn
	all     []*conn // in no order; conn.slot is the index
	groups  map[string]*group
	users   map[string]*set
	lasting usergroup.Table // groups of users, whether they are connected or not
}

func newSpace(h *Hub, name string, handler realtime.Handler) *space {
	return &space{hub: h, name: name, handler: handler, byID: map[string]*conn{}, groups: map[string]*group{}, users: map[string]*set{}}
}

// group is a group that has members.
type group struct {
	name string
	set
}

// set is a set of connections. Most sets are tiny, so that a map for each would
// be most of their memory; large ones get an index.
type set struct {
	list  []*conn
	index map[*conn]int // nil while the list is short
}

const shortSet = 16

func (s *set) find(c *conn) int {
	if s.index != nil {
		if i, ok := s.index[c]; ok {
			return i
		}
		return -1
	}
	for i, m := range s.list {
		if m == c {
			return i
		}
	}
	return -1
}

func (s *set) add(c *conn) bool {
	if s.find(c) >= 0 {
		return false
	}
	s.list = append(s.list, c)
	if s.index != nil {
		s.index[c] = len(s.list) - 1
	} else if len(s.list) > shortSet {
		s.index = make(map[*conn]int, 2*shortSet)
		for i, m := range s.list {
			s.index[m] = i
		}
	}
	return true
}

func (s *set) remove(c *conn) bool {
	i := s.find(c)
	if i < 0 {
		return false
	}
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	s.list[last] = nil
	s.list = s.list[:last]
	if s.index != nil {
		delete(s.index, c)
		if i < last {
			s.index[s.list[i]] = i
		}
	}
	return true
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
			us = &set{}
			s.users[u] = us
		}
		us.add(c)
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
		if us.remove(c); len(us.list) == 0 {
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
	if g != nil && g.find(c) >= 0 {
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
	g.add(c)
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
	if g.remove(c); len(g.list) == 0 {
		delete(s.groups, g.name)
	}
}

// find returns the connections of this node that to names, except excluded ones.
// The result is the caller's.
func (s *space) find(to realtime.Recipient) []*conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findLocked(to)
}

func (s *space) findLocked(to realtime.Recipient) []*conn {
	var from []*conn
	switch to.Kind {
	case realtime.KindConnection:
		if c := s.byID[to.ID]; c != nil {
			return []*conn{c}
		}
		return nil
	case realtime.KindAll:
		from = s.all
	case realtime.KindGroup:
		if g := s.groups[to.ID]; g != nil {
			from = g.list
		}
	case realtime.KindUser:
		if u := s.users[to.ID]; u != nil {
			from = u.list
		}
	}
	if len(from) == 0 {
		return nil
	}
	out := make([]*conn, 0, len(from))
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
