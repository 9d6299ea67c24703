package signaling

import (
	"context"
	"encoding/json"
	"errors"

	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// relayEvent tells a member that it may use a relay for its link with From.
type relayEvent struct {
	From       string       `json:"from"`
	Role       token.Role   `json:"role"`
	Link       uint64       `json:"link"`
	ICEServers []ice.Server `json:"iceServers"`
}

func (m member) grantee() grant.Member {
	return grant.Member{Session: m.session, Peer: m.peer, Addr: m.addr}
}

// relay gives the sender and a peer of its session the use of a relay with each other, and
// tells both.
func (s *Signaling) relay(ctx context.Context, m member, arg json.RawMessage) error {
	req, err := parseRelay(arg)
	if err != nil {
		return err
	}
	other := member{session: m.session, peer: req.To, role: token.Host}
	if m.role == token.Host {
		other.role = token.Guest
	}
	mine, theirs, err := s.cfg.Relays.Pair(ctx, m.grantee(), other.grantee(), req.Bytes)
	if err != nil {
		return relayError(err)
	}
	return errors.Join(
		s.tellRelay(ctx, other, relayEvent{From: m.peer, Role: m.role, Link: req.Link, ICEServers: theirs}),
		s.tellRelay(ctx, m, relayEvent{From: other.peer, Role: other.role, Link: req.Link, ICEServers: mine}),
	)
}

func (s *Signaling) tellRelay(ctx context.Context, to member, e relayEvent) error {
	msg, err := realtime.NewMessage("relay", e)
	if err != nil {
		return err
	}
	return s.cfg.Realtime.Send(ctx, realtime.User(user(to.session, to.peer)), msg)
}

// relayError says why there is no relay, in words for the one who asked.
func relayError(err error) error {
	switch {
	case errors.Is(err, grant.ErrAbsent):
		return &realtime.Error{Code: "relay_absent", Message: "The other one is not connected."}
	case errors.Is(err, grant.ErrLimited):
		return &realtime.Error{Code: "relay_limited", Message: "Relays were asked for too often. Wait a minute."}
	case errors.Is(err, grant.ErrSpent):
		return &realtime.Error{Code: "relay_spent", Message: "What may be relayed is used up."}
	case errors.Is(err, grant.ErrNoRelay):
		return &realtime.Error{Code: "relay_none", Message: "This server has no relay."}
	}
	return err
}

// kick removes a guest from the host's session: its relays end, its connections are closed, and
// it is not let in again.
func (s *Signaling) kick(ctx context.Context, m member, arg json.RawMessage) error {
	to, err := parseKick(arg)
	if err != nil {
		return err
	}
	if m.role != token.Host {
		return &realtime.Error{Code: "forbidden", Message: "Only the host removes others."}
	}
	if to == m.peer {
		return badMessage("a host can't remove itself")
	}
	for _, id := range s.cfg.Relays.Kick(ctx, grant.Member{Session: m.session, Peer: to}) {
		s.closeConnection(ctx, id, "removed from the session")
	}
	return nil
}
