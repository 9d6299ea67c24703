package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"causeway/internal/budget"
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
	return grant.Member{Session: m.session, Peer: m.peer, Role: string(m.role), Addr: m.addr}
}

// relay gives the sender and a peer of its session the use of a relay with each other, and
// tells both.
func (s *Signaling) relay(ctx context.Context, m member, arg json.RawMessage) error {
	req, err := parseRelay(arg)
	if err != nil {
		return err
	}
	if m.role == token.Guest {
		req.Bytes = 0 // it is the host's budget, and the host's word about what is sent
	}
	other := member{session: m.session, peer: req.To, role: m.facing()}
	mine, theirs, err := s.cfg.Relays.Pair(ctx, m.grantee(), other.grantee(), grant.Need{Bytes: req.Bytes, Region: req.Region})
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
	return s.cfg.Realtime.Send(ctx, realtime.User(User(to.session, to.peer)), msg)
}

// restartEvent tells a member that the relay of its links with From goes away, and which to
// restart ICE with.
type restartEvent struct {
	From       string       `json:"from"`
	Role       token.Role   `json:"role"`
	ICEServers []ice.Server `json:"iceServers"`
}

// Moved tells both members of a pair to restart ICE. Errors are logged: who doesn't hear of it
// finds out when the relay has gone.
func (s *Signaling) Moved(ctx context.Context, m grant.Moved) {
	for i, to := range m.Members {
		from := m.Members[1-i]
		msg, err := realtime.NewMessage("restart", restartEvent{From: from.Peer, Role: token.Role(from.Role), ICEServers: m.Servers[i]})
		if err == nil {
			err = s.cfg.Realtime.Send(ctx, realtime.User(User(to.Session, to.Peer)), msg)
		}
		if err != nil {
			s.cfg.Logger.ErrorContext(ctx, "send restart failed", "err", err)
		}
	}
}

// relayError says why there is no relay, in words for the one who asked.
func relayError(err error) error {
	switch {
	case errors.Is(err, grant.ErrAbsent):
		return &realtime.Error{Code: "relay_absent", Message: "The other one is not connected."}
	case errors.Is(err, grant.ErrLimited):
		return &realtime.Error{Code: "relay_limited", Message: "Relays were asked for too often. Wait a minute."}
	case errors.Is(err, grant.ErrShort):
		return &realtime.Error{Code: "relay_short", Message: "This is more than may still be relayed."}
	case errors.Is(err, grant.ErrSpent):
		return &realtime.Error{Code: "relay_spent", Message: "What may be relayed is used up."}
	case errors.Is(err, grant.ErrNoRelay):
		return &realtime.Error{Code: "relay_none", Message: "This server has no relay."}
	}
	return err
}

// describedBy returns what the ICE agent goes by in a description, RFC 8839 §5.4; ok is false for
// other data.
func describedBy(data json.RawMessage) (auth ice.Auth, ok bool) {
	var d struct {
		Type        string `json:"type"`
		Description struct {
			SDP string `json:"sdp"`
		} `json:"description"`
	}
	if json.Unmarshal(data, &d) != nil || d.Type != "description" {
		return auth, false
	}
	for line := range strings.Lines(d.Description.SDP) {
		line = strings.TrimRight(line, "\r\n")
		if v, found := strings.CutPrefix(line, "a=ice-ufrag:"); found {
			auth.Ufrag = v
		} else if v, found := strings.CutPrefix(line, "a=ice-pwd:"); found {
			auth.Pwd = v
		}
	}
	return auth, auth.Ufrag != "" && auth.Pwd != "" && len(auth.Ufrag)+len(auth.Pwd) <= maxAuth
}

// maxAuth is how long both parts of an ice.Auth may be together: each has at most 256
// characters (RFC 8839 §5.4).
const maxAuth = 512

// budgetEvent tells members how much of a budget is spent.
type budgetEvent struct {
	Level string `json:"level"` // credential, member, session, day or month
	State string `json:"state"` // warning: 80 % are spent; spent: all
}

// Budget tells those whom it concerns: a session's members, or everybody. Errors are logged.
func (s *Signaling) Budget(ctx context.Context, e budget.Event) {
	event := budgetEvent{Level: e.Level.String(), State: "warning"}
	if e.Kind == budget.Cut {
		event.State = "spent"
	}
	to := []realtime.Recipient{realtime.All()}
	if e.Session != "" {
		to = nil
		for _, role := range []token.Role{token.Host, token.Guest, token.Member} {
			to = append(to, realtime.Group(Group(e.Session, role)))
		}
	}
	msg, err := realtime.NewMessage("budget", event)
	for _, one := range to {
		err = errors.Join(err, s.cfg.Realtime.Send(ctx, one, msg))
	}
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "send budget failed", "err", err)
	}
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
