package signaling

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"causeway/internal/grant"
	"causeway/internal/guard"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// WorkHeader brings the solution of a challenge (docs/protocol.md §2.1).
const WorkHeader = "Causeway-Work"

// admitRequest asks the guard about a request; session is empty if it is of none.
func (s *Signaling) admitRequest(r *http.Request, a guard.Action, session string) error {
	if s.cfg.Guard == nil {
		return nil
	}
	err := s.cfg.Guard.Admit(guard.Request{Action: a, Addr: s.cfg.ClientAddr(r), Session: session, Work: r.Header.Get(WorkHeader)})
	var no *guard.Refusal
	if errors.As(err, &no) {
		return no.HTTP()
	}
	return err
}

// admitJoin asks about a join, once it is known whether the invite is one (bad: why not).
func (s *Signaling) admitJoin(r *http.Request, session string, bad error) error {
	if bad != nil { // who guesses does so slowly
		return s.admitRequest(r, guard.Lookup, "")
	}
	return s.admitRequest(r, guard.Join, session)
}

// admitMessage asks the guard about an invocation. A goodbye is always welcome.
func (s *Signaling) admitMessage(m member, target string) error {
	if s.cfg.Guard == nil || target == "bye" {
		return nil
	}
	req := guard.Request{Action: guard.Invoke, Addr: m.addr, Session: m.session, Messages: 1}
	switch {
	case target == "relay":
		req.Action, req.Messages = guard.Mint, 2 // both are told
	case target == "hello" && m.role != token.Guest: // to all, who are hardly more
		req.Messages = maxGuests
	}
	err := s.cfg.Guard.Admit(req)
	var no *guard.Refusal
	switch {
	case !errors.As(err, &no):
		return err
	case no.Action == guard.Mint && (no.Reason == guard.Prefix || no.Reason == guard.Session):
		return relayError(grant.ErrLimited)
	case no.Action == guard.Mint && no.Reason == guard.Spent:
		return relayError(grant.ErrSpent)
	}
	wait := (no.RetryAfter + time.Second - 1) / time.Second
	return &realtime.Error{Code: no.Code(), Message: fmt.Sprintf("%s Retry after %d s.", no.Message(), max(1, wait))}
}

// maxGuests is how many peers one connects to at most (docs/protocol.md §3).
const maxGuests = 32
