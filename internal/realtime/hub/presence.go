package hub

import (
	"context"
	"slices"
	"strings"

	"causeway/internal/realtime"
)

// Exists says whether who names a live connection, on any node.
func (s *Service) Exists(ctx context.Context, who realtime.Recipient) (bool, error) {
	if s.space.exists(who) {
		return true, nil
	}
	others, err := s.listOthers(ctx, who, "", 1)
	return len(others) > 0, err
}

func (s *space) exists(who realtime.Recipient) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case len(who.Excluded) > 0:
	case who.Kind == realtime.KindAll:
		return len(s.all) > 0
	case who.Kind == realtime.KindGroup:
		return s.groups[who.ID] != nil
	case who.Kind == realtime.KindUser:
		return s.users[who.ID] != nil
	case who.Kind == realtime.KindConnection:
		return s.byID[who.ID] != nil
	}
	return len(s.findLocked(who, nil)) > 0
}

// Count counts connections and different users, on all nodes.
func (s *Service) Count(ctx context.Context, who realtime.Recipient) (connections, users int, err error) {
	connections, names := s.space.count(who)
	answers, err := s.cluster().ask(ctx, "", &envelope{Op: opCount, Hub: s.space.name, To: who})
	if err != nil || len(answers) == 0 {
		return connections, len(names), err
	}
	seen := map[string]bool{}
	for _, a := range append(answers, answer{Users: names}) {
		connections += a.N
		for _, u := range a.Users {
			seen[u] = true
		}
	}
	return connections, len(seen), nil
}

// count counts connections of this node, and lists their users.
func (s *space) count(who realtime.Recipient) (n int, users []string) {
	all := s.find(who, nil)
	seen := map[string]bool{}
	for _, c := range all {
		if u := c.info.User; u != "" && !seen[u] {
			seen[u] = true
			users = append(users, u)
		}
	}
	return len(all), users
}

// Connections lists connections by id, on all nodes.
func (s *Service) Connections(ctx context.Context, who realtime.Recipient, after string, limit int) (page []realtime.ConnectionInfo, next string, err error) {
	if limit <= 0 {
		return nil, "", nil
	}
	// One more than asked for shows whether there is a next page.
	page = s.space.list(who, after, limit+1)
	others, err := s.listOthers(ctx, who, after, limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(others) > 0 {
		page = append(page, others...)
		sortInfos(page)
	}
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].ConnectionID
	}
	return page, next, nil
}

// listOthers lists connections of the other nodes.
func (s *Service) listOthers(ctx context.Context, who realtime.Recipient, after string, limit int) (all []realtime.ConnectionInfo, err error) {
	answers, err := s.cluster().ask(ctx, "", &envelope{Op: opList, Hub: s.space.name, To: who, Text: after, Limit: limit})
	for _, a := range answers {
		all = append(all, a.List...)
	}
	return all, err
}

func (s *space) list(who realtime.Recipient, after string, limit int) []realtime.ConnectionInfo {
	var page []realtime.ConnectionInfo
	for _, c := range s.find(who, nil) {
		if c.info.ID > after {
			page = append(page, realtime.ConnectionInfo{ConnectionID: c.info.ID, UserID: c.info.User})
		}
	}
	sortInfos(page)
	return page[:min(limit, len(page))]
}

func sortInfos(page []realtime.ConnectionInfo) {
	slices.SortFunc(page, func(a, b realtime.ConnectionInfo) int { return strings.Compare(a.ConnectionID, b.ConnectionID) })
}
