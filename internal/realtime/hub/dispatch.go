package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// event is something that a handler is told.
type event struct {
	kind      eventKind
	id        string // invocation id; empty if no result is wanted
	target    string // of the invocation; for evDisconnected, the reason's text
	arguments []json.RawMessage
	raw       []byte // body of the invocation
}

type eventKind uint8

const (
	evConnected eventKind = iota
	evInvoked
	evDisconnected
)

// inbox is the queue of events that wait for a connection's handler. Its fields
// belong to conn.mu. It is bounded by Limits.Pending and by the size of one
// message; a client that fills it is not read until there is room.
type inbox struct {
	queue   []event
	bytes   int
	running bool          // a worker owns the queue
	told    bool          // evConnected was queued, so evDisconnected must be
	room    chan struct{} // closed when there is room; nil if nobody waits
}

// receive handles one message of the client.
func (c *conn) receive(body []byte) error {
	if pass, err := c.inSequence(body); !pass || err != nil {
		return err
	}
	k := c.reader.cork
	if k == nil {
		// Values are slices of the body, and outlive it.
		body = bytes.Clone(body)
	}
	var m signalr.Message
	var err error
	if _, raw := c.space.handler.(realtime.RawHandler); raw {
		var h signalr.Head
		if h, err = c.protocol.Head(body); err != nil {
			return err
		}
		if h.Type == signalr.Invocation {
			return c.invocation(event{kind: evInvoked, id: h.InvocationID, target: h.Target, raw: body})
		}
	}
	if m, err = c.protocol.Decode(body); err != nil {
		return err
	}
	switch m.Type {
	case signalr.Invocation:
		return c.invocation(event{kind: evInvoked, id: m.InvocationID, target: m.Target, arguments: m.Arguments, raw: body})
	case signalr.StreamInvocation:
		c.hub.metrics.refused.WithLabelValues("streaming").Inc()
		c.complete(event{id: m.InvocationID}, nil, &realtime.Error{Code: "not_supported", Message: "streaming is not supported"})
	case signalr.Completion:
		if k != nil {
			m.Value = bytes.Clone(m.Value)
		}
		c.hub.invocations.complete(c, m)
	case signalr.Ping:
		c.clock.pinged.Store(c.transport != longPolling)
	case signalr.Close:
		return closeError{ReasonClient}
	}
	return nil // StreamItem, CancelInvocation and unknown types mean nothing here
}

// invocation queues ev within the rate, and waits while the inbox is full.
func (c *conn) invocation(ev event) error {
	if l := &c.hub.cfg.Limits; l.Rate >= 0 {
		r, now := &c.reader, c.hub.now()
		r.tokens = min(r.tokens+float32(l.Rate)*float32(now-r.filled), float32(l.Burst))
		r.filled = now
		if r.tokens < 1 {
			return closeError{ReasonRate}
		}
		r.tokens--
	}
	if k := c.reader.cork; k != nil {
		if c.prompt(k, ev) {
			return nil
		}
		ev.keep()
	}
	for {
		c.mu.Lock()
		in := &c.in
		if c.state != open {
			c.mu.Unlock()
			return nil
		}
		if len(in.queue) < c.hub.cfg.Limits.Pending && (len(in.queue) == 0 || in.bytes+len(ev.raw) <= c.hub.cfg.Limits.Message) {
			c.mu.Unlock()
			c.enqueue(ev)
			return nil
		}
		if in.room == nil {
			in.room = make(chan struct{})
		}
		room := in.room
		c.mu.Unlock()
		if t := c.reader.turn; t != nil && !t.Leave() {
			return nil // the hub has ended
		}
		c.clock.blocked.Store(true)
		<-room // closed by the worker, which goes on until the queue is empty
		c.clock.blocked.Store(false)
		c.clock.in.Store(c.hub.now())
	}
}

// enqueue queues ev for the handler, and starts a worker if there is none.
// Nothing but the disconnect comes after the end of the connection, and that only
// if the handler knows the connection.
func (c *conn) enqueue(ev event) {
	c.mu.Lock()
	if c.state != open && (ev.kind != evDisconnected || !c.in.told) {
		c.mu.Unlock()
		return
	}
	if ev.kind == evConnected {
		c.in.told = true
	}
	c.in.queue = append(c.in.queue, ev)
	c.in.bytes += len(ev.raw)
	start := !c.in.running
	c.in.running = true
	c.mu.Unlock()
	if start {
		c.hub.dispatch(c)
	}
}

// dispatch hands c to a waiting worker, or to a new one.
func (h *Hub) dispatch(c *conn) {
	select {
	case h.crew.work <- c:
	default:
		h.spawn(func() { h.worker(c) })
	}
}

// idleWorkers is how many workers wait for more work, with their stacks grown.
const idleWorkers = 64

func (h *Hub) worker(c *conn) {
	for {
		c.handleAll()
		if h.crew.idle.Add(1) > idleWorkers {
			h.crew.idle.Add(-1)
			return
		}
		select {
		case c = <-h.crew.work:
			h.crew.idle.Add(-1)
		case <-h.crew.stopped:
			return
		}
	}
}

// handleAll calls the handler for what is queued, until nothing is.
func (c *conn) handleAll() {
	for {
		c.mu.Lock()
		in := &c.in
		if in.room != nil {
			close(in.room)
			in.room = nil
		}
		if len(in.queue) == 0 {
			in.queue, in.running = nil, false
			c.mu.Unlock()
			return
		}
		ev := in.queue[0]
		in.queue[0] = event{}
		in.queue = in.queue[1:]
		in.bytes -= len(ev.raw)
		c.mu.Unlock()
		c.handle(c.hub.context(), ev)
	}
}

// handle calls the handler for ev. A handler that panics fails this call only.
func (c *conn) handle(ctx context.Context, ev event) {
	defer func() {
		if p := recover(); p != nil {
			c.hub.cfg.Logger.Error("handler panicked", "hub", c.info.Hub, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if ev.kind == evInvoked {
				c.complete(ev, nil, errors.New("panic"))
			}
		}
	}()
	handler := c.space.handler
	switch ev.kind {
	case evConnected:
		handler.Connected(ctx, c.info)
	case evDisconnected:
		handler.Disconnected(ctx, c.info, ev.target)
	case evInvoked:
		c.hub.metrics.received.Inc()
		if raw, ok := handler.(realtime.RawHandler); ok {
			c.invokeRaw(ctx, raw, ev)
			return
		}
		result, err := handler.Invoked(ctx, c.info, realtime.Message{Target: ev.target, Arguments: ev.arguments})
		c.complete(ev, result, err)
	}
}

// keep makes ev outlive the bytes that it was read from.
func (ev *event) keep() {
	ev.raw = bytes.Clone(ev.raw)
	for i, a := range ev.arguments {
		ev.arguments[i] = bytes.Clone(a)
	}
}

// complete answers the invocation ev; one without id gets no answer.
func (c *conn) complete(ev event, result json.RawMessage, err error) {
	if ev.id == "" {
		return
	}
	m := signalr.Message{Type: signalr.Completion, InvocationID: ev.id, Value: result}
	if err != nil {
		m.Value, m.Error = nil, c.clientText(err)
	}
	f, err := frame.New(c.protocol, &m)
	if err != nil {
		c.hub.cfg.Logger.Error("handler's result can't be encoded", "hub", c.info.Hub, "err", err)
		m.Value, m.Error = nil, failed
		if f, err = frame.New(c.protocol, &m); err != nil {
			return
		}
	}
	c.send(f, nil)
}

// failed is all that a client learns of an error that was not meant for it, unless
// its token asks for detailed errors (asrs.s.derror).
const failed = "An unexpected error occurred invoking the method on the server."

func (c *conn) clientText(err error) string {
	var e *realtime.Error
	switch {
	case errors.As(err, &e):
		return e.Error()
	case c.detailed:
		return failed + " " + err.Error()
	}
	return failed
}

// invokeRaw calls a handler that wants invocations as they came, and frames its answer.
func (c *conn) invokeRaw(ctx context.Context, h realtime.RawHandler, ev event) {
	completion, err := h.InvokedRaw(ctx, c.info, c.protocol.String(), ev.target, ev.raw, ev.id != "")
	if ev.id == "" {
		return
	}
	if err != nil || len(completion) == 0 {
		c.complete(ev, nil, err)
		return
	}
	f, err := c.adopt(completion, ev.id)
	if err != nil {
		c.hub.cfg.Logger.Warn("handler's completion refused", "hub", c.info.Hub, "err", err)
		c.complete(ev, nil, err)
		return
	}
	c.send(f, nil)
}

// adopt makes a frame of a completion that somebody else has encoded, framed or
// not, after checking that it is one, for the invocation id.
func (c *conn) adopt(completion []byte, id string) (*frame.Frame, error) {
	body := completion
	s := signalr.NewSplitter(c.protocol, len(completion))
	n := 0
	if err := s.Feed(completion, func(b []byte) error { body, n = b, n+1; return nil }); err != nil || n != 1 || s.Partial() {
		body = completion
	}
	m, err := c.protocol.Decode(body)
	if err != nil {
		return nil, err
	}
	if m.Type != signalr.Completion || m.InvocationID != id {
		return nil, errors.New("not the completion of this invocation")
	}
	return frame.Hub(c.protocol, c.protocol.AppendFrame(nil, body), true), nil
}
