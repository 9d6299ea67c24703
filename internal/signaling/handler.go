package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"causeway/internal/realtime"
	"causeway/internal/token"
)

// Names of the claims that carry a grant through the realtime service.
const (
	claimSession = "session"
	claimPeer    = "peer"
	claimRole    = "role"
	claimAddr    = "addr" // public address of the member; may be missing
)

// member is who a connection belongs to.
type member struct {
	session, peer string
	role          token.Role
	addr          netip.Addr
}

// memberOf reads the claims that negotiate wrote. They are signed, so anything
// else than a whole member is a connection to the hub that we did not negotiate.
func memberOf(c realtime.Connection) (member, bool) {
	m := member{session: c.Claims[claimSession], peer: c.Claims[claimPeer], role: token.Role(c.Claims[claimRole])}
	m.addr, _ = netip.ParseAddr(c.Claims[claimAddr])
	return m, m.session != "" && m.peer != "" && m.role.Known()
}

// User returns the user id of a peer: its address within the realtime service.
func User(session, peer string) string { return session + "." + peer }

// Group returns the name of the group that the session's peers of a role are in.
func Group(session string, role token.Role) string { return string(role) + "." + session }

// across returns the peers on the other side of the session; in a room all, m among them.
func (m member) across() realtime.Recipient {
	return realtime.Group(Group(m.session, m.facing()))
}

// facing is the role of those on the other side.
func (m member) facing() token.Role {
	switch m.role {
	case token.Host:
		return token.Guest
	case token.Guest:
		return token.Host
	}
	return token.Member
}

// Connected puts the connection into the group of its side.
func (s *Signaling) Connected(ctx context.Context, c realtime.Connection) {
	m, ok := memberOf(c)
	if !ok {
		s.closeConnection(ctx, c.ID, "not a member of a session")
		return
	}
	if !s.admit(ctx, m, c.ID) {
		return
	}
	if err := s.cfg.Realtime.JoinGroup(ctx, Group(m.session, m.role), c.ID); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		s.cfg.Logger.ErrorContext(ctx, "join group failed", "err", err)
		s.closeConnection(ctx, c.ID, "could not join the session")
	}
}

// Disconnected tells the other side.
func (s *Signaling) Disconnected(ctx context.Context, c realtime.Connection, _ string) {
	if m, ok := memberOf(c); ok {
		s.cfg.Relays.Disconnected(ctx, m.grantee(), c.ID)
		s.sealing.forget(c.ID)
		if err := s.sendLeft(ctx, m); err != nil {
			s.cfg.Logger.ErrorContext(ctx, "send left failed", "err", err)
		}
	}
}

// Invoked handles one message of a peer.
func (s *Signaling) Invoked(ctx context.Context, c realtime.Connection, msg realtime.Message) (json.RawMessage, error) {
	if m, ok := memberOf(c); ok {
		if err := s.admitMessage(m, msg.Target); err != nil {
			return nil, err // the guard has counted it
		}
	}
	answer, err := s.invoked(ctx, c, msg)
	s.countMessage(err)
	return answer, err
}

func (s *Signaling) invoked(ctx context.Context, c realtime.Connection, msg realtime.Message) (json.RawMessage, error) {
	m, ok := memberOf(c)
	if !ok {
		return nil, badMessage("this connection belongs to no session")
	}
	if len(msg.Arguments) != 1 {
		return nil, badMessage("a message has exactly one argument")
	}
	if len(msg.Arguments[0]) > maxMessage {
		return nil, tooLarge()
	}
	switch msg.Target {
	case "hello":
		return nil, s.hello(ctx, m, msg.Arguments[0])
	case "signal":
		return nil, s.signal(ctx, m, msg.Arguments[0])
	case "relay":
		return nil, s.relay(ctx, m, msg.Arguments[0])
	case "sealed":
		return nil, s.sealed(ctx, m, c.ID, msg.Arguments[0])
	case "kick":
		return nil, s.kick(ctx, m, msg.Arguments[0])
	case "bye":
		return nil, s.bye(ctx, m, c.ID)
	}
	return nil, badMessage("there is no such method")
}

// event is what a peer receives; which members it has depends on the target.
type event struct {
	From string          `json:"from"`
	Role token.Role      `json:"role"`
	N    uint64          `json:"n,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

func (s *Signaling) hello(ctx context.Context, m member, arg json.RawMessage) error {
	n, err := parseHello(arg)
	if err != nil {
		return err
	}
	return s.send(ctx, m.across(), "hello", event{From: m.peer, Role: m.role, N: n})
}

func (s *Signaling) signal(ctx context.Context, m member, arg json.RawMessage) error {
	sig, err := parseSignal(arg)
	if err != nil {
		return err
	}
	if sig.To == m.peer {
		return badMessage("a peer can't signal itself")
	}
	if auth, ok := describedBy(sig.Data); ok {
		s.cfg.Relays.Described(ctx, m.grantee(), auth)
	}
	return s.send(ctx, realtime.User(User(m.session, sig.To)), "signal", event{From: m.peer, Role: m.role, N: sig.N, Data: sig.Data})
}

func (s *Signaling) bye(ctx context.Context, m member, connectionID string) error {
	s.cfg.Relays.Left(ctx, m.grantee())
	err := s.sendLeft(ctx, m)
	s.closeConnection(ctx, connectionID, "the peer said bye")
	return err
}

func (s *Signaling) sendLeft(ctx context.Context, m member) error {
	return s.send(ctx, m.across(), "left", event{From: m.peer, Role: m.role})
}

func (s *Signaling) send(ctx context.Context, to realtime.Recipient, target string, e event) error {
	msg, err := realtime.NewMessage(target, e)
	if err != nil {
		return err
	}
	return s.cfg.Realtime.Send(ctx, to, msg)
}

func (s *Signaling) closeConnection(ctx context.Context, connectionID, reason string) {
	if err := s.cfg.Realtime.CloseConnection(ctx, connectionID, reason); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		s.cfg.Logger.ErrorContext(ctx, "close connection failed", "err", err)
	}
}
