package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// Service is the data plane of one named hub. Besides realtime.Service it is
// everything that package realtime calls optional.
type Service struct{ space *space }

var (
	_ realtime.Service    = (*Service)(nil)
	_ realtime.UserGroups = (*Service)(nil)
	_ realtime.Presence   = (*Service)(nil)
	_ realtime.Closer     = (*Service)(nil)
	_ realtime.Refuser    = (*Service)(nil)
	_ realtime.Invoker    = (*Service)(nil)
	_ realtime.RawSender  = (*Service)(nil)
)

// Negotiate signs an access token for the client, and sends it to this hub at
// the origin that it knows already.
func (s *Service) Negotiate(_ context.Context, c realtime.Claims) (realtime.Endpoint, error) {
	h := s.space.hub
	origin := c.Origin
	if origin == "" {
		origin = h.cfg.Origin
	}
	if origin == "" {
		return realtime.Endpoint{}, errors.New("negotiate: no origin")
	}
	origin = strings.TrimRight(origin, "/")
	token, err := h.sign(origin, s.space.name, c)
	if err != nil {
		return realtime.Endpoint{}, fmt.Errorf("negotiate: %w", err)
	}
	return realtime.Endpoint{URL: origin + "/client/?hub=" + url.QueryEscape(s.space.name), AccessToken: token}, nil
}

// Send delivers m.
func (s *Service) Send(ctx context.Context, to realtime.Recipient, m realtime.Message) error {
	msg := &signalr.Message{Type: signalr.Invocation, Target: m.Target, Arguments: m.Arguments}
	f := fan{message: msg}
	// Refuse what can't be encoded even if nobody would get it.
	if _, err := f.frame(signalr.JSON); err != nil {
		return err
	}
	return s.send(ctx, to, &f)
}

// SendRaw delivers invocations that are framed already.
func (s *Service) SendRaw(ctx context.Context, to realtime.Recipient, framed map[string][]byte) error {
	f := fan{raw: maps.Clone(framed)}
	for name, b := range framed {
		p, ok := signalr.ProtocolByName(name)
		if !ok {
			continue
		}
		n := 0
		split := signalr.NewSplitter(p, len(b))
		err := split.Feed(b, func(body []byte) error {
			n++
			h, err := p.Head(body)
			if err == nil && h.Type != signalr.Invocation {
				err = errors.New("not an invocation")
			}
			return err
		})
		if err != nil || n != 1 || split.Partial() {
			return fmt.Errorf("send raw %s: not one invocation: %w", name, errors.Join(err, signalr.ErrMalformed))
		}
	}
	return s.send(ctx, to, &f)
}

func (s *Service) send(ctx context.Context, to realtime.Recipient, f *fan) error {
	k, node := s.cluster(), ""
	if to.Kind == realtime.KindConnection {
		node = k.remote(to.ID)
	}
	if node == "" {
		s.space.fanOut(to, f, corkOf(ctx, to))
	}
	if k == nil || to.Kind == realtime.KindConnection && node == "" {
		return nil
	}
	e := &envelope{Op: opSend, Hub: s.space.name, To: to, Raw: f.raw}
	if f.message != nil {
		e.Message = &realtime.Message{Target: f.message.Target, Arguments: f.message.Arguments}
	}
	return k.tell(ctx, node, e)
}

// fanOut queues a message for the connections of this node that to names.
func (s *space) fanOut(to realtime.Recipient, f *fan, k *cork) {
	var one [1]*conn
	n, bytes := 0, 0
	for _, c := range s.find(to, one[:0]) {
		frame, err := f.frame(c.protocol)
		if err != nil || frame == nil {
			continue // this protocol can't say it, or was not given
		}
		c.send(frame, k)
		n++
		bytes += len(frame.Payload())
	}
	s.hub.metrics.sent.Add(float64(n))
	s.hub.metrics.sentBytes.Add(float64(bytes))
}

// fan is one message on its way to many connections: it is encoded once for each
// protocol that is met. It belongs to one goroutine.
type fan struct {
	message *signalr.Message  // or
	raw     map[string][]byte // framed, by protocol
	frames  [2]*frame.Frame
	errs    [2]error
}

// frame returns the frame for p; nil if the message was given for other protocols only.
func (f *fan) frame(p signalr.Protocol) (*frame.Frame, error) {
	if f.frames[p] != nil || f.errs[p] != nil {
		return f.frames[p], f.errs[p]
	}
	if f.message != nil {
		f.frames[p], f.errs[p] = frame.New(p, f.message)
	} else if b, ok := f.raw[p.String()]; ok {
		f.frames[p] = frame.Hub(p, b, true)
	}
	return f.frames[p], f.errs[p]
}

// JoinGroup adds a connection to a group.
func (s *Service) JoinGroup(ctx context.Context, group, connectionID string) error {
	if node := s.cluster().remote(connectionID); node != "" {
		_, err := s.cluster().askOne(ctx, node, &envelope{Op: opJoin, Hub: s.space.name, Group: group, ID: connectionID})
		return err
	}
	return s.space.join(group, connectionID)
}

// LeaveGroup removes a connection from a group.
func (s *Service) LeaveGroup(ctx context.Context, group, connectionID string) error {
	if node := s.cluster().remote(connectionID); node != "" {
		return s.cluster().tell(ctx, node, &envelope{Op: opLeave, Hub: s.space.name, Group: group, ID: connectionID})
	}
	s.space.leave(group, connectionID)
	return nil
}

// LeaveAllGroups removes a connection from all its groups.
func (s *Service) LeaveAllGroups(ctx context.Context, connectionID string) error {
	return s.LeaveGroup(ctx, "", connectionID)
}

// CloseConnection ends a connection; the reason is shown to the client.
func (s *Service) CloseConnection(ctx context.Context, connectionID, reason string) error {
	return s.closeOne(ctx, connectionID, ReasonApplication, reason)
}

// RefuseConnection ends a connection whose client shall not come back.
func (s *Service) RefuseConnection(ctx context.Context, connectionID, reason string) error {
	return s.closeOne(ctx, connectionID, ReasonRefused, reason)
}

func (s *Service) closeOne(ctx context.Context, connectionID string, r Reason, text string) error {
	who := realtime.ToConnection(connectionID)
	if node := s.cluster().remote(connectionID); node != "" {
		_, err := s.cluster().askOne(ctx, node, &envelope{Op: opClose, Hub: s.space.name, To: who, Text: text, Refused: r == ReasonRefused})
		return err
	}
	if s.space.closeAll(who, r, text) == 0 {
		return realtime.ErrNoConnection
	}
	return nil
}

// CloseConnections ends all connections that who names.
func (s *Service) CloseConnections(ctx context.Context, who realtime.Recipient, reason string) error {
	s.space.closeAll(who, ReasonApplication, reason)
	return s.cluster().tell(ctx, "", &envelope{Op: opClose, Hub: s.space.name, To: who, Text: reason})
}

func (s *space) closeAll(who realtime.Recipient, r Reason, text string) int {
	all := s.find(who, nil)
	for _, c := range all {
		c.close(r, text)
	}
	return len(all)
}
