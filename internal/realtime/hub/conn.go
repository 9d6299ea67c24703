package hub

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"causeway/internal/loop"
	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/realtime/hub/replay"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// state is where a connection stands in its life; it only grows.
type state uint8

const (
	negotiated  state = iota // has an id; no transport yet
	handshaking              // has a transport; no handshake yet
	open                     // reachable
	closing                  // says goodbye
	closed                   // forgotten
)

// transport is the kind of a connection's link.
type transport uint8

const (
	noTransport transport = iota
	webSockets
	serverSentEvents
	longPolling
)

// link moves the bytes of a connection.
type link interface {
	// flush writes what the outbox holds, or sees to it that somebody does. The
	// caller has set outbox.writing. It does not block.
	flush()
	// abort ends the link at once.
	abort()
}

// conn is a connection, from negotiate to the end, over one transport or, with
// stateful reconnect, several after each other.
type conn struct {
	hub   *Hub
	space *space
	info  realtime.Connection
	token string // the id that the client connects with
	addr  netip.Addr

	mu        sync.Mutex // of the fields down to resume
	state     state
	transport transport
	protocol  signalr.Protocol
	link      link // nil between transports
	out       outbox
	in        inbox
	groups    []*group
	resume    *replay.Log // of stateful reconnect; nil without
	proof     *identity   // shown in negotiate; nil once there is a transport
	detailed  bool        // the client may read what errors say; set with the transport

	reader  reader // belongs to whoever feeds
	slot    int    // index in space.all; belongs to space.mu
	clock   clock
	results results
}

// clock holds the ticks (see Hub.now) that the sweep compares.
type clock struct {
	in, out  atomic.Uint32 // last receive and send
	deadline atomic.Uint32 // of the present state; 0 is none
	expires  uint32        // close at this tick; 0 is never
	pinged   atomic.Bool   // the client has sent a Ping, so it must go on
	blocked  atomic.Bool   // the hub does not read, so the client can't be late
	gap      uint16        // seconds between long polls
}

// reader turns the bytes that a client sends into messages.
type reader struct {
	mu       sync.Mutex // held while feeding
	early    []byte     // the beginning of a handshake
	cork     *cork      // of what is being fed
	turn     *loop.Turn // of who feeds, if that is a loop
	from     link       // whose bytes splitter holds
	splitter signalr.Splitter
	tokens   float32 // invocations that the rate allows now
	filled   uint32  // tick at which tokens was true
}

// feeding says where bytes come from.
type feeding struct {
	link link
	cork *cork      // for what prompt handlers send meanwhile; nil: there are none
	turn *loop.Turn // to be left by whoever is about to wait; nil: no loop feeds
}

// feed takes bytes that came from the client, in order. An error ends the
// connection; feed has then closed it.
func (c *conn) feed(f feeding, b []byte) error {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	c.reader.cork, c.reader.turn = f.cork, f.turn
	defer func() { c.reader.cork, c.reader.turn = nil, nil }()
	err := c.feedLocked(f.link, b)
	if err == nil {
		return nil
	}
	reason := ReasonProtocol
	var ce closeError
	switch {
	case errors.As(err, &ce):
		reason = ce.reason
	case errors.Is(err, signalr.ErrTooLarge):
		reason = ReasonTooLarge
	}
	c.close(reason, "")
	return err
}

func (c *conn) feedLocked(l link, b []byte) error {
	c.clock.in.Store(c.hub.now())
	c.mu.Lock()
	st, current := c.state, c.link == l
	c.mu.Unlock()
	if !current {
		return nil // another link has taken over
	}
	if st == handshaking {
		if len(c.reader.early) > 0 {
			b = append(c.reader.early, b...)
		}
		body, rest, ok, err := signalr.CutHandshake(b)
		switch {
		case err != nil:
			return closeError{ReasonHandshake}
		case !ok:
			c.reader.early = append([]byte(nil), b...)
			return nil
		}
		c.reader.early = nil
		if err := c.handshake(body); err != nil {
			return err
		}
		b = rest
	} else if st != open {
		return nil // what a client says after goodbye
	}
	if c.reader.from != l { // a new stream; the old one may have ended inside a message
		c.reader.from = l
		c.reader.splitter = signalr.NewSplitter(c.protocol, c.hub.cfg.Limits.Message)
	}
	return c.reader.splitter.Feed(b, c.receive)
}

// handshake answers a client's handshake, and opens the connection.
func (c *conn) handshake(body []byte) error {
	h, err := signalr.ParseHandshake(body)
	if err != nil {
		return closeError{ReasonHandshake}
	}
	p, known := signalr.ProtocolByName(h.Protocol)
	refusal := ""
	switch {
	case !known:
		refusal = "The protocol '" + h.Protocol + "' is not supported."
	case p.Binary() && c.transport == serverSentEvents:
		refusal = "Cannot use the '" + h.Protocol + "' protocol on the current transport. The transport does not support 'Binary' transfer format."
	case h.Version != 1 && h.Version != 2:
		refusal = fmt.Sprintf("The server does not support version %d of the '%s' protocol.", h.Version, h.Protocol)
	}
	if refusal != "" {
		c.refuse(refusal)
		return closeError{ReasonHandshake}
	}
	c.reader.tokens = float32(c.hub.cfg.Limits.Burst)
	c.mu.Lock()
	if c.state != handshaking {
		c.mu.Unlock()
		return nil
	}
	c.protocol = p
	if h.Version < 2 {
		c.resume = nil // the client did not ask, whatever it negotiated
	}
	// The reply is in the queue before anybody can find the connection.
	c.out.push(c.hub.fixed.welcome[p])
	c.state = open
	c.clock.deadline.Store(0)
	if l, ok := c.link.(*pollLink); ok && !l.pending() {
		c.clock.deadline.Store(c.hub.now() + uint32(c.clock.gap) + 1)
	}
	c.mu.Unlock()
	if c.space.add(c) { // else it was closed in the meantime
		c.hub.metrics.opened(c.transport)
		ev := event{kind: evConnected}
		if k := c.reader.cork; k == nil || !c.prompt(k, ev) {
			c.enqueue(ev)
		}
	}
	c.kick()
	return nil
}

// refuse queues an answer to the handshake that is an error.
func (c *conn) refuse(text string) {
	f := frame.Raw(ws.OpText, signalr.AppendHandshakeReply(nil, text), false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == handshaking {
		c.out.push(f)
	}
}

// send queues f, and writes it if nobody else does, or leaves that to k if there
// is one. It never blocks; a client that does not take its messages is closed.
func (c *conn) send(f *frame.Frame, k *cork) {
	c.mu.Lock()
	if c.state != open {
		c.mu.Unlock()
		return
	}
	l := &c.hub.cfg.Limits
	if len(c.out.queue) >= l.OutboxMessages || c.out.bytes > 0 && c.out.bytes+len(f.Wire) > l.OutboxBytes {
		c.mu.Unlock()
		c.close(ReasonSlowClient, "")
		return
	}
	if c.resume != nil && f.Counted && !c.resume.Keep(f, l.ResumeBytes) {
		c.mu.Unlock()
		c.close(ReasonResume, "")
		return
	}
	if c.link != nil || c.resume == nil {
		c.out.push(f) // else it is replayed when the client comes back
	}
	// What is corked stays far below the limits of the queue.
	if n := len(c.out.queue); k != nil && n < corkMessages && 2*n < l.OutboxMessages && c.out.bytes < min(corkBytes, l.OutboxBytes/2) {
		c.mu.Unlock()
		k.add(c)
		return
	}
	c.kickLocked()
}

// kick writes what is queued, unless somebody does already.
func (c *conn) kick() {
	c.mu.Lock()
	c.kickLocked()
}

// kickLocked is kick for who holds mu, which it unlocks.
func (c *conn) kickLocked() {
	start := c.link != nil && !c.out.writing && (len(c.out.queue) > 0 || c.out.finish)
	if start {
		c.out.writing = true
	}
	l := c.link
	c.mu.Unlock()
	if start {
		l.flush()
	}
}

// take is outbox.take for links.
func (c *conn) take(l link, dst []*frame.Frame, maxBytes int) (n int, finish bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return 0, true // another link has taken over
	}
	n, finish = c.out.take(dst, maxBytes)
	if n > 0 {
		c.clock.out.Store(c.hub.now())
	}
	return n, finish
}

// close ends the connection: it can't be reached any more, the client is told
// why, and the transport ends once the client knows. text replaces the reason's.
func (c *conn) close(r Reason, text string) {
	if text == "" {
		text = r.Text()
	}
	c.mu.Lock()
	was := c.state
	if was >= closing {
		c.mu.Unlock()
		return
	}
	c.state = closing
	c.clock.deadline.Store(c.hub.after(c.hub.cfg.Timing.Linger))
	c.resume = nil
	if !r.gone() {
		switch was {
		case open:
			if f, err := frame.New(c.protocol, c.goodbye(r, text)); err == nil {
				c.out.push(f)
			}
		case handshaking:
			if r != ReasonHandshake || len(c.out.queue) == 0 {
				c.out.push(frame.Raw(ws.OpText, signalr.AppendHandshakeReply(nil, text), false))
			}
		}
	}
	c.out.finish = true
	l := c.link
	c.mu.Unlock()
	if was == open {
		c.space.remove(c)
		if c.results.awaited.Load() {
			c.hub.invocations.fail(c)
		}
		c.enqueue(event{kind: evDisconnected, target: text})
	}
	c.hub.metrics.closed.WithLabelValues(r.String()).Inc()
	switch {
	case l == nil:
		c.release()
	case r.gone():
		l.abort()
	default:
		c.kick()
	}
}

func (c *conn) goodbye(r Reason, text string) *signalr.Message {
	back := r.Reconnect()
	if r == ReasonApplication && c.hub.cfg.CloseForGood {
		back = false
	}
	return &signalr.Message{Type: signalr.Close, Error: text, AllowReconnect: back}
}

// ended is called by a link whose transport has ended. clean says that the client
// wanted it to.
func (c *conn) ended(l link, r Reason, clean bool) {
	c.mu.Lock()
	if c.link != l {
		c.mu.Unlock()
		return // taken over
	}
	c.link = nil
	c.out.writing = false
	if c.state == open && c.resume != nil && !clean {
		c.resume.Detach()
		c.out.drop()
		c.clock.deadline.Store(c.hub.after(c.hub.cfg.Timing.Resume))
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.close(r, "")
	c.release()
}

// release forgets a connection that has neither transport nor future.
func (c *conn) release() {
	c.mu.Lock()
	done := c.state == closed
	c.state = closed
	c.out.drop()
	c.mu.Unlock()
	if !done {
		c.hub.forget(c)
	}
}
