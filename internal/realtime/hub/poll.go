package hub

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"causeway/internal/realtime/hub/frame"
)

// pollLink is a long polling connection (§2.4): the client asks again and again,
// and each answer carries what is queued. It lives on between requests.
type pollLink struct {
	c    *conn
	mu   sync.Mutex
	wake chan struct{} // capacity 1: there is something to write
	over chan struct{} // closed when the present poll is superseded or the link aborted
	gone bool          // aborted
}

// flush implements link. The writes belong to the present poll, or the next.
func (l *pollLink) flush() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// abort implements link.
func (l *pollLink) abort() {
	l.mu.Lock()
	already := l.gone
	l.gone = true
	l.supersede()
	l.mu.Unlock()
	if !already {
		l.c.ended(l, ReasonClient, true)
	}
}

// supersede ends the present poll. The caller holds mu.
func (l *pollLink) supersede() {
	if l.over != nil {
		close(l.over)
		l.over = nil
	}
}

// begin makes this request the present poll.
func (l *pollLink) begin() (over chan struct{}, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil, false
	}
	l.supersede()
	l.over = make(chan struct{})
	return l.over, true
}

// end says whether the poll was the present one.
func (l *pollLink) end(over chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != over {
		return false
	}
	l.over = nil
	return true
}

func (c *conn) poll(w http.ResponseWriter, r *http.Request, req *request) error {
	hd := w.Header()
	hd.Set("Cache-Control", "no-cache, no-store")
	hd.Set("Pragma", "no-cache")
	hd.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
	c.mu.Lock()
	l, ok := c.link.(*pollLink)
	c.mu.Unlock()
	if ok {
		l.serve(w, r)
		return nil
	}
	if _, err := c.attach(&pollLink{c: c, wake: make(chan struct{}, 1)}, longPolling, req); err != nil {
		return err
	}
	// The first poll is answered at once: it only shows that the transport works.
	c.mu.Lock()
	c.out.writing = false
	c.mu.Unlock()
	return nil
}

// serve answers one poll.
func (l *pollLink) serve(w http.ResponseWriter, r *http.Request) {
	over, ok := l.begin()
	if !ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	c := l.c
	c.clock.in.Store(c.hub.now())
	c.pollDeadline(0)
	limit := time.NewTimer(c.hub.cfg.Timing.Poll)
	defer limit.Stop()
	for {
		b, finish := l.takeAll()
		if len(b) > 0 {
			l.answer(w, over, b)
			return
		}
		if finish { // all was taken: the connection is over
			w.WriteHeader(http.StatusNoContent)
			c.ended(l, ReasonClient, true)
			return
		}
		select {
		case <-l.wake:
		case <-limit.C:
			l.answer(w, over, nil)
			return
		case <-over:
			w.WriteHeader(http.StatusNoContent)
			return
		case <-r.Context().Done():
			l.wait(over)
			return
		}
	}
}

// takeAll drains the outbox, up to a megabyte.
func (l *pollLink) takeAll() (b []byte, finish bool) {
	var frames [16]*frame.Frame
	for len(b) < 1<<20 {
		n, fin := l.c.take(l, frames[:], batchSize)
		if n == 0 {
			return b, fin
		}
		for _, f := range frames[:n] {
			b = append(b, f.Payload()...)
		}
	}
	return b, false
}

// answer answers the poll with b, which may be empty, and waits for the next.
func (l *pollLink) answer(w http.ResponseWriter, over chan struct{}, b []byte) {
	l.wait(over)
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b) // a lost answer is a lost message: at most once
}

// wait gives the client time for the next poll, if the one that ends is the
// present one.
func (l *pollLink) wait(over chan struct{}) {
	if l.end(over) {
		l.c.pollDeadline(l.c.hub.now() + uint32(l.c.clock.gap) + 1)
	}
}

// pending says whether a poll waits.
func (l *pollLink) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over != nil
}

// pollDeadline sets when the client must have polled again; 0 is never.
func (c *conn) pollDeadline(tick uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == open {
		c.clock.deadline.Store(tick)
	}
}

// post takes messages of a client that can't send over its transport (§2.5).
func (c *conn) post(w http.ResponseWriter, r *http.Request) error {
	c.mu.Lock()
	st, tr, l := c.state, c.transport, c.link
	c.mu.Unlock()
	switch {
	case tr == webSockets:
		return &refusal{status: http.StatusMethodNotAllowed, text: "POST requests are not allowed for WebSocket connections."}
	case st == negotiated || st >= closing:
		return &refusal{status: http.StatusNotFound, text: "No Connection with that ID"}
	}
	limit := int64(c.hub.cfg.Limits.Message) + 8 // a hub message and its framing
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return &refusal{status: http.StatusRequestEntityTooLarge, text: "message too large"}
		}
		return &refusal{status: http.StatusBadRequest, text: "the body could not be read"}
	}
	w.Header().Set("Content-Type", "text/plain")
	k := c.cork()
	_ = c.feed(feeding{link: l, cork: k}, b) // what is wrong with it the client learns over its transport
	k.end()
	return nil
}

// delete ends a long polling connection.
func (c *conn) delete(w http.ResponseWriter) error {
	c.mu.Lock()
	st, tr := c.state, c.transport
	c.mu.Unlock()
	switch {
	case st == negotiated || tr != longPolling:
		return &refusal{status: http.StatusBadRequest, text: "Cannot terminate this connection via the DELETE endpoint."}
	case st == closed:
		return &refusal{status: http.StatusNotFound, text: "No Connection with that ID"}
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusAccepted)
	c.close(ReasonClient, "")
	// A client that was told goodbye polls no more, but deletes: nobody has to
	// wait for its last poll.
	c.cut()
	return nil
}
