package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"
)

// fake is a service with every capability, in memory, that notes what it is told.
type fake struct {
	mu     sync.Mutex
	conns  map[string]*fakeConn
	users  map[string]map[string]time.Duration // group → user → ttl
	log    []string
	err    error // what the next calls fail with
	invoke func(ctx context.Context, m realtime.Message) (json.RawMessage, error)
}

type fakeConn struct {
	user   string
	groups map[string]bool
}

func newFake() *fake {
	return &fake{conns: map[string]*fakeConn{}, users: map[string]map[string]time.Duration{}}
}

func (f *fake) connect(id, user string, groups ...string) {
	c := &fakeConn{user: user, groups: map[string]bool{}}
	for _, g := range groups {
		c.groups[g] = true
	}
	f.conns[id] = c
}

// note takes the lock, notes the call, and gives back the unlock.
func (f *fake) note(format string, a ...any) func() {
	f.mu.Lock()
	f.log = append(f.log, fmt.Sprintf(format, a...))
	return f.mu.Unlock
}

func (f *fake) notes() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.log = nil }()
	return strings.Join(f.log, "; ")
}

func name(r realtime.Recipient) string {
	s := [...]string{"all", "group ", "user ", "connection "}[r.Kind] + r.ID
	if len(r.Excluded) > 0 {
		s += " but " + strings.Join(r.Excluded, ",")
	}
	return s
}

func (f *fake) matching(r realtime.Recipient) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(f.conns)) {
		c := f.conns[id]
		in := [...]bool{true, c.groups[r.ID], c.user == r.ID && r.ID != "", id == r.ID}[r.Kind]
		if in && !slices.Contains(r.Excluded, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (f *fake) Negotiate(_ context.Context, c realtime.Claims) (realtime.Endpoint, error) {
	defer f.note("negotiate %s %s", c.User, c.Lifetime)()
	token, err := accesskey.SignClient(secret.New("key"), "http://hub", "chat", c)
	return realtime.Endpoint{URL: c.Origin + "/client/?hub=chat", AccessToken: token}, err
}

func (f *fake) Send(_ context.Context, to realtime.Recipient, m realtime.Message) error {
	args, _ := json.Marshal(m.Arguments)
	defer f.note("send %s: %s%s", name(to), m.Target, args)()
	return f.err
}

func (f *fake) SendRaw(_ context.Context, to realtime.Recipient, framed map[string][]byte) error {
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(framed)) {
		parts = append(parts, fmt.Sprintf("%s=%q", p, framed[p]))
	}
	defer f.note("raw %s: %s", name(to), strings.Join(parts, " "))()
	return f.err
}

func (f *fake) JoinGroup(_ context.Context, group, id string) error {
	defer f.note("join %s %s", group, id)()
	c, ok := f.conns[id]
	if !ok {
		return realtime.ErrNoConnection
	}
	c.groups[group] = true
	return f.err
}

func (f *fake) LeaveGroup(_ context.Context, group, id string) error {
	defer f.note("leave %s %s", group, id)()
	if c, ok := f.conns[id]; ok {
		delete(c.groups, group)
		return f.err
	}
	return realtime.ErrNoConnection
}

func (f *fake) CloseConnection(_ context.Context, id, reason string) error {
	defer f.note("close %s %q", id, reason)()
	if _, ok := f.conns[id]; !ok {
		return realtime.ErrNoConnection
	}
	delete(f.conns, id)
	return f.err
}

func (f *fake) CloseConnections(_ context.Context, who realtime.Recipient, reason string) error {
	defer f.note("close all of %s %q", name(who), reason)()
	for _, id := range f.matching(who) {
		delete(f.conns, id)
	}
	return f.err
}

func (f *fake) AddUserToGroup(_ context.Context, group, user string, ttl time.Duration) error {
	defer f.note("add user %s %s %s", group, user, ttl)()
	if f.users[group] == nil {
		f.users[group] = map[string]time.Duration{}
	}
	f.users[group][user] = ttl
	return f.err
}

func (f *fake) RemoveUserFromGroup(_ context.Context, group, user string) error {
	defer f.note("remove user %s %s", group, user)()
	delete(f.users[group], user)
	return f.err
}

func (f *fake) RemoveUserFromAllGroups(_ context.Context, user string) error {
	defer f.note("remove user %s", user)()
	for _, users := range f.users {
		delete(users, user)
	}
	return f.err
}

func (f *fake) UserInGroup(_ context.Context, group, user string) (bool, error) {
	defer f.note("user in %s %s", group, user)()
	_, in := f.users[group][user]
	return in, f.err
}

func (f *fake) LeaveAllGroups(_ context.Context, id string) error {
	defer f.note("leave all %s", id)()
	if c, ok := f.conns[id]; ok {
		clear(c.groups)
	}
	return f.err
}

func (f *fake) Exists(_ context.Context, who realtime.Recipient) (bool, error) {
	defer f.note("exists %s", name(who))()
	return len(f.matching(who)) > 0, f.err
}

func (f *fake) Count(_ context.Context, who realtime.Recipient) (connections, users int, err error) {
	defer f.note("count %s", name(who))()
	ids := f.matching(who)
	different := map[string]bool{}
	for _, id := range ids {
		if u := f.conns[id].user; u != "" {
			different[u] = true
		}
	}
	return len(ids), len(different), f.err
}

func (f *fake) Connections(_ context.Context, who realtime.Recipient, after string, limit int) (page []realtime.ConnectionInfo, next string, err error) {
	defer f.note("connections %s", name(who))()
	for _, id := range f.matching(who) {
		if id <= after {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ConnectionID, f.err
		}
		page = append(page, realtime.ConnectionInfo{ConnectionID: id, UserID: f.conns[id].user})
	}
	return page, "", f.err
}

func (f *fake) Invoke(ctx context.Context, id string, m realtime.Message) (json.RawMessage, error) {
	unlock := f.note("invoke %s %s", id, m.Target)
	_, ok := f.conns[id]
	unlock()
	if !ok {
		return nil, realtime.ErrNoConnection
	}
	return f.invoke(ctx, m)
}

// plain is a service without any capability.
type plain struct{ realtime.Service }
