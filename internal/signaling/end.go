package signaling

import "context"

// SessionEnder is a Relays that can end a whole session, as grant.Keeper can.
type SessionEnder interface {
	End(ctx context.Context, session string) (connectionIDs []string, ok bool)
}

// End closes a session for all its members, takes their relays back, and lets nobody in
// again. It says whether there was such a session here.
func (s *Signaling) End(ctx context.Context, session string) bool {
	e, can := s.cfg.Relays.(SessionEnder)
	if !can {
		return false
	}
	ids, ok := e.End(ctx, session)
	for _, id := range ids {
		s.closeConnection(ctx, id, "the operator ended the session")
	}
	return ok
}
