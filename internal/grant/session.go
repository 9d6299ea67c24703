package grant

import (
	"context"
	"maps"
	"slices"
	"time"
)

// SessionState is a session as its members are known here.
type SessionState struct {
	ID          string
	Members     int // present, or expected back
	Connections int
	Pairs       int // that may use a relay
}

// Sessions returns those that have a member, in no order.
func (k *Keeper) Sessions() []SessionState {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[string]*SessionState, len(k.present))
	for name, p := range k.members {
		s := all[name.session]
		if s == nil {
			s = &SessionState{ID: name.session}
			all[name.session] = s
		}
		s.Members++
		s.Connections += len(p.connections)
		for _, one := range p.pairs {
			if one.members[0] == name { // each once
				s.Pairs++
			}
		}
	}
	list := make([]SessionState, 0, len(all))
	for _, s := range all {
		list = append(list, *s)
	}
	return list
}

// everyone is, in Keeper.kicked, in the place of a peer: the whole session is shut out.
const everyone = ""

// End takes back what all members of a session have, and shuts the session out for as long as a
// credential lives. It returns their connections, for the caller to close; ok is false if there was
// no member.
func (k *Keeper) End(ctx context.Context, session string) (connectionIDs []string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, p := range k.members {
		if name.session == session {
			ok = true
			connectionIDs = append(connectionIDs, slices.Collect(maps.Keys(p.connections))...)
			k.forget(ctx, p)
		}
	}
	if ok && len(k.kicked) < k.cfg.Members {
		k.kicked[key{session, everyone}] = time.Now().Add(k.cfg.Life)
	}
	slices.Sort(connectionIDs)
	return connectionIDs, ok
}

// shutOut says whether m was removed, or its session was ended. The caller holds mu.
func (k *Keeper) shutOut(m Member) bool {
	if _, ok := k.kicked[m.key()]; ok {
		return true
	}
	_, ok := k.kicked[key{m.Session, everyone}]
	return ok
}
