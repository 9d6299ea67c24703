package hub

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// invocations are the client results that somebody waits for.
type invocations struct {
	mu      sync.Mutex
	waiting map[invocationKey]chan signalr.Message // capacity 1
	limit   int
}

// results is what a connection knows of them.
type results struct {
	counter atomic.Uint64 // of ids
	awaited atomic.Bool   // somebody has waited
}

type invocationKey struct {
	c  *conn
	id string
}

func newInvocations(limit int) *invocations {
	return &invocations{waiting: map[invocationKey]chan signalr.Message{}, limit: limit}
}

func (i *invocations) add(k invocationKey) (chan signalr.Message, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.waiting) >= i.limit {
		return nil, false
	}
	ch := make(chan signalr.Message, 1)
	i.waiting[k] = ch
	return ch, true
}

func (i *invocations) remove(k invocationKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.waiting, k)
}

// complete hands a client's completion to who waits for it, if anybody does.
func (i *invocations) complete(c *conn, m signalr.Message) {
	k := invocationKey{c, m.InvocationID}
	i.mu.Lock()
	ch := i.waiting[k]
	delete(i.waiting, k)
	i.mu.Unlock()
	if ch != nil {
		ch <- m
	}
}

// fail ends what is awaited from a connection that has ended.
func (i *invocations) fail(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, ch := range i.waiting {
		if k.c == c {
			delete(i.waiting, k)
			close(ch)
		}
	}
}

// Invoke asks a client for a result.
func (s *Service) Invoke(ctx context.Context, connectionID string, m realtime.Message) (json.RawMessage, error) {
	if node := s.cluster().remote(connectionID); node != "" {
		a, err := s.cluster().askOne(ctx, node, &envelope{Op: opInvoke, Hub: s.space.name, ID: connectionID, Message: &m})
		return a.Result, err
	}
	return s.space.invoke(ctx, connectionID, m)
}

func (s *space) invoke(ctx context.Context, connectionID string, m realtime.Message) (json.RawMessage, error) {
	found := s.find(realtime.ToConnection(connectionID), nil)
	if len(found) == 0 {
		return nil, realtime.ErrNoConnection
	}
	c := found[0]
	id := "s" + strconv.FormatUint(c.results.counter.Add(1), 10)
	f, err := frame.New(c.protocol, &signalr.Message{Type: signalr.Invocation, InvocationID: id, Target: m.Target, Arguments: m.Arguments})
	if err != nil {
		return nil, err
	}
	k := invocationKey{c, id}
	ch, ok := s.hub.invocations.add(k)
	if !ok {
		s.hub.metrics.refused.WithLabelValues("invocations").Inc()
		return nil, &realtime.Error{Code: "too_many_invocations", Message: "too many client results are awaited"}
	}
	defer s.hub.invocations.remove(k)
	c.results.awaited.Store(true)
	c.send(f, nil)
	if c.isClosing() { // before it could be failed with the others
		return nil, realtime.ErrNoConnection
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case m, ok := <-ch:
		switch {
		case !ok:
			return nil, realtime.ErrNoConnection
		case m.Error != "":
			return nil, &realtime.Error{Code: "client_error", Message: m.Error}
		}
		return m.Value, nil
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state >= closing
}
