package hub

import (
	"bytes"
	"net/http"
	"time"

	"causeway/internal/realtime/hub/frame"
)

// eventLink is a Server-Sent Events response (§2.3). The goroutine of its request
// writes; clients send by POST.
type eventLink struct {
	c    *conn
	wake chan struct{} // capacity 1: there is something to write
	done chan struct{} // closed by abort
	once chan struct{} // capacity 1: abort was not called yet
}

func newEventLink(c *conn) *eventLink {
	l := &eventLink{c: c, wake: make(chan struct{}, 1), done: make(chan struct{}), once: make(chan struct{}, 1)}
	l.once <- struct{}{}
	return l
}

// flush implements link.
func (l *eventLink) flush() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// abort implements link.
func (l *eventLink) abort() {
	select {
	case <-l.once:
		close(l.done)
	default:
	}
}

func (c *conn) serveEvents(w http.ResponseWriter, r *http.Request, req *request) error {
	l := newEventLink(c)
	if _, err := c.attach(l, serverSentEvents, req); err != nil {
		return err
	}
	hd := w.Header()
	hd.Set("Content-Type", "text/event-stream")
	hd.Set("Cache-Control", "no-cache,no-store")
	hd.Set("Pragma", "no-cache")
	hd.Set("Content-Encoding", "identity")
	hd.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	reason, clean := l.serve(http.NewResponseController(w), w, r)
	c.ended(l, reason, clean)
	return nil
}

// serve writes until the client leaves or the connection ends.
func (l *eventLink) serve(rc *http.ResponseController, w http.ResponseWriter, r *http.Request) (Reason, bool) {
	// Browsers report the stream as open only when bytes have come.
	if !l.write(rc, w, []byte(":\r\n")) {
		return ReasonDropped, false
	}
	l.flush() // the writes are ours since attach
	for {
		select {
		case <-r.Context().Done():
			return ReasonClient, true // a client that stops drops the stream
		case <-l.done:
			return ReasonDropped, false
		case <-l.wake:
		}
		for {
			var frames [16]*frame.Frame
			n, finish := l.c.take(l, frames[:], batchSize)
			if n == 0 && finish {
				return ReasonClient, true
			}
			if n == 0 {
				break
			}
			var b []byte
			for _, f := range frames[:n] {
				b = appendEvent(b, f.Payload())
			}
			if !l.write(rc, w, b) {
				l.c.close(ReasonSlowClient, "")
				return ReasonSlowClient, false
			}
		}
	}
}

func (l *eventLink) write(rc *http.ResponseController, w http.ResponseWriter, b []byte) bool {
	// Not every ResponseWriter knows deadlines; then the outbox's bound remains.
	_ = rc.SetWriteDeadline(time.Now().Add(l.c.hub.cfg.Timing.Write))
	if _, err := w.Write(b); err != nil {
		return false
	}
	err := rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
	return err == nil
}

// appendEvent appends one event with payload, whole hub messages.
func appendEvent(b, payload []byte) []byte {
	for line := range bytes.SplitSeq(payload, []byte("\n")) {
		b = append(b, "data: "...)
		start := len(b)
		b = append(b, line...)
		for i, c := range b[start:] {
			if c == '\r' { // ends a line, too; in JSON it can only be white space
				b[start+i] = ' '
			}
		}
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}
