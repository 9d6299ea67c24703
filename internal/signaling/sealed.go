package signaling

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"causeway/internal/grant"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// Limits of sealed messages (docs/protocol.md §3). A member of a full room that writes a line sends
// it to each of the others, so they are bursts.
const (
	maxSealed = 24 << 10 // of base64url characters

	sealedBurst = 512
	sealedEvery = time.Second / 64

	sealedByteBurst = 2 << 20
	sealedByteEvery = time.Second / (128 << 10)

	maxSenders = 100_000
)

// sealedMessage is the argument of the method "sealed": what members tell each other when they
// have no data channel. The server can't read the box.
type sealedMessage struct {
	To  string `json:"to"`
	Box string `json:"box"`
}

func parseSealed(arg json.RawMessage) (sealedMessage, error) {
	var m sealedMessage
	if err := json.Unmarshal(arg, &m); err != nil || m.Box == "" || !isPeer(m.To) {
		return m, badMessage(`"sealed" takes {"to": a peer, "box": base64url}`)
	}
	if len(m.Box) > maxSealed {
		return m, &realtime.Error{Code: "too_large", Message: "The sealed message is larger than 24 KiB."}
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(m.Box); err != nil {
		return m, badMessage(`"box" is not base64url`)
	}
	return m, nil
}

// sealedEvent is what the other member gets.
type sealedEvent struct {
	From string     `json:"from"`
	Role token.Role `json:"role"`
	Box  string     `json:"box"`
}

// sealed passes a sealed message to another member of a room.
func (s *Signaling) sealed(ctx context.Context, m member, connectionID string, arg json.RawMessage) error {
	req, err := parseSealed(arg)
	if err != nil {
		return err
	}
	if m.role != token.Member {
		return &realtime.Error{Code: "forbidden", Message: "Only members of a room pass sealed messages."}
	}
	if req.To == m.peer {
		return badMessage("a peer can't send to itself")
	}
	if !s.sealing.take(connectionID, len(req.Box), s.cfg.Now()) {
		return &realtime.Error{Code: "sealed_limited", Message: "Too many messages in a short time. Wait a moment."}
	}
	msg, err := realtime.NewMessage("sealed", sealedEvent{From: m.peer, Role: m.role, Box: req.Box})
	if err != nil {
		return err
	}
	return s.cfg.Realtime.Send(ctx, realtime.User(User(m.session, req.To)), msg)
}

// refusedEvent tells a connection why it is about to be closed.
type refusedEvent struct {
	Code string `json:"code"`
}

// admit lets a connection in, unless its peer was removed or its room is full; then it is told and closed.
func (s *Signaling) admit(ctx context.Context, m member, connectionID string) bool {
	atMost := 0
	if m.role == token.Member {
		atMost = s.cfg.Members
	}
	err := s.cfg.Relays.Admit(ctx, m.grantee(), connectionID, atMost)
	if err == nil {
		return true
	}
	code, reason := "removed", "removed from the session"
	if errors.Is(err, grant.ErrFull) {
		code, reason = "room_full", "the room is full"
	}
	s.refuse(ctx, connectionID, code) // or it would try again and again
	s.cfg.Stats.Refused(code)
	s.closeConnection(ctx, connectionID, reason)
	return false
}

func (s *Signaling) refuse(ctx context.Context, connectionID, code string) {
	msg, err := realtime.NewMessage("refused", refusedEvent{Code: code})
	if err == nil {
		err = s.cfg.Realtime.Send(ctx, realtime.ToConnection(connectionID), msg)
	}
	if err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		s.cfg.Logger.ErrorContext(ctx, "send refused failed", "err", err)
	}
}

// sealing holds the rates of connections that pass sealed messages: at most maxSenders; beyond,
// those that have their whole allowance are forgotten, and if there are none, new ones are refused.
type sealing struct {
	mu      sync.Mutex
	senders map[string]*sender // by connection id
}

// sender is what a connection may send: the times at which its two allowances are whole again.
type sender struct{ messages, bytes time.Time }

// take reports whether the connection may pass another message of this many bytes.
func (l *sealing) take(connectionID string, size int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.senders[connectionID]
	if s == nil {
		if len(l.senders) >= maxSenders {
			l.sweep(now)
		}
		if len(l.senders) >= maxSenders {
			return false
		}
		s = &sender{}
		l.senders[connectionID] = s
	}
	messages := later(s.messages, now).Add(sealedEvery)
	bytes := later(s.bytes, now).Add(time.Duration(size) * sealedByteEvery)
	if messages.Sub(now) > sealedBurst*sealedEvery || bytes.Sub(now) > sealedByteBurst*sealedByteEvery {
		return false
	}
	s.messages, s.bytes = messages, bytes
	return true
}

func (l *sealing) forget(connectionID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.senders, connectionID)
}

func (l *sealing) sweep(now time.Time) {
	for id, s := range l.senders {
		if !s.messages.After(now) && !s.bytes.After(now) {
			delete(l.senders, id)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
