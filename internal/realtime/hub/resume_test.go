package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// resumer is a client with stateful reconnect, one WebSocket at a time.
type resumer struct {
	*testing.T
	ep       realtime.Endpoint
	o        realtimetest.Options
	id       string // secret
	public   string
	p        signalr.Protocol
	nc       net.Conn
	r        io.Reader
	split    signalr.Splitter
	sent     uint64 // id of the last counted message
	unsure   []signalr.Message
	seen     uint64
	done     uint64
	waiting  bool
	ended    bool // a Close message came
	received []string
}

func newResumer(t *testing.T, h *hub.Hub, origin string, p signalr.Protocol, o realtimetest.Options) *resumer {
	t.Helper()
	o.Resume, o.Protocol = true, p
	c := &resumer{T: t, ep: endpoint(t, h, origin, "ann"), o: o, p: p}
	n, err := realtimetest.Negotiate(t.Context(), c.ep, o)
	if err != nil || !n.UseStatefulReconnect {
		t.Fatalf("negotiate: %+v, %v", n, err)
	}
	c.id, c.public = n.ConnectionToken, n.ConnectionID
	c.open()
	c.write(ws.OpText, signalr.AppendHandshake(nil, signalr.Handshake{Protocol: p.String(), Version: 2}))
	f, err := realtimetest.ReadFrame(c.r)
	if err != nil || string(f.Payload) != "{}\x1e" {
		t.Fatalf("handshake: %q, %v", f.Payload, err)
	}
	return c
}

func (c *resumer) open() {
	c.Helper()
	var err error
	if c.nc, c.r, err = realtimetest.Open(c.Context(), c.ep, c.id, c.o); err != nil {
		c.Fatal(err)
	}
	c.split = signalr.NewSplitter(c.p, 1<<20)
}

func (c *resumer) write(op ws.OpCode, b []byte) {
	c.Helper()
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, true, b)))
	if err != nil {
		c.Fatal(err)
	}
	_, _ = c.nc.Write(frame) // may be cut
}

func (c *resumer) send(m signalr.Message) {
	c.Helper()
	b, err := c.p.Append(nil, &m)
	if err != nil {
		c.Fatal(err)
	}
	c.write(ws.OpText, b)
}

// note sends a counted invocation with a number.
func (c *resumer) note(n int) {
	m := signalr.Message{Type: signalr.Invocation, Target: "note", Arguments: []json.RawMessage{json.RawMessage(fmt.Sprint(n))}}
	c.sent++
	c.unsure = append(c.unsure, m)
	c.send(m)
}

// resume opens another WebSocket and replays what was not acknowledged.
func (c *resumer) resume() {
	c.Helper()
	c.open()
	c.waiting = true
	c.send(signalr.Message{Type: signalr.Sequence, SequenceID: c.sent - uint64(len(c.unsure)) + 1})
	for _, m := range c.unsure {
		c.send(m)
	}
}

// read reads one WebSocket message; it says no at the end of the WebSocket.
func (c *resumer) read() bool {
	c.Helper()
	f, err := realtimetest.ReadFrame(c.r)
	if err != nil || f.Header.OpCode == ws.OpClose {
		return false
	}
	if err := c.split.Feed(f.Payload, c.receive); err != nil {
		c.Fatal(err)
	}
	return true
}

func (c *resumer) receive(body []byte) error {
	m, err := c.p.Decode(bytes.Clone(body))
	if err != nil {
		return err
	}
	switch {
	case m.Type == signalr.Close:
		c.ended = true
	case m.Type == signalr.Sequence:
		if m.SequenceID > c.done+1 {
			return fmt.Errorf("sequence %d after %d", m.SequenceID, c.done)
		}
		c.seen, c.waiting = m.SequenceID-1, false
	case c.waiting:
	case m.Type == signalr.Ack:
		for first := c.sent - uint64(len(c.unsure)) + 1; len(c.unsure) > 0 && first <= m.SequenceID; first++ {
			c.unsure = c.unsure[1:]
		}
	case m.Type.Counted():
		if c.seen++; c.seen > c.done {
			c.done = c.seen
			c.received = append(c.received, string(m.Arguments[0]))
		}
	}
	return nil
}

// TestResume cuts the WebSocket again and again in the middle of bursts in both
// directions: nothing is lost, nothing comes twice, and the application hears of
// no disconnect.
func TestResume(t *testing.T) {
	for _, p := range signalr.Protocols() {
		t.Run(p.String(), func(t *testing.T) {
			var mu sync.Mutex
			var notes []string
			ends := 0
			h, origin := serve(t, hub.Config{Handlers: chat(funcs{
				invoked: func(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
					mu.Lock()
					defer mu.Unlock()
					notes = append(notes, string(m.Arguments[0]))
					return nil, nil
				},
				disconnected: func(realtime.Connection, string) { mu.Lock(); ends++; mu.Unlock() },
			})})
			c := newResumer(t, h, origin, p, realtimetest.Options{})
			service := h.Service("chat")
			sent := 0
			for round := range 10 {
				for range 40 {
					sent++
					c.note(sent)
					m, _ := realtime.NewMessage("m", sent)
					if err := service.Send(t.Context(), realtime.ToConnection(c.public), m); err != nil {
						t.Fatal(err)
					}
					if sent%40 == 10+round { // in the middle
						if round%2 == 0 {
							c.nc.Close()
						} // else the old socket still looks alive
						old := c.nc
						c.resume()
						defer old.Close()
					}
				}
			}
			for len(c.received) < sent && c.read() {
			}
			if len(c.received) != sent {
				t.Fatalf("got %d messages of %d", len(c.received), sent)
			}
			for i, m := range c.received {
				if m != fmt.Sprint(i+1) {
					t.Fatalf("message %d is %s", i+1, m)
				}
			}
			for len(c.unsure) > 0 && c.read() { // until all is acknowledged
			}
			c.send(signalr.Message{Type: signalr.Close})
			for c.read() {
			}
			mu.Lock()
			defer mu.Unlock()
			if len(notes) != sent {
				t.Fatalf("the application got %d notes of %d", len(notes), sent)
			}
			for i, n := range notes {
				if n != fmt.Sprint(i+1) {
					t.Fatalf("note %d is %s", i+1, n)
				}
			}
		})
	}
}

// TestResumeWindow checks that a connection keeps its groups while its client is
// away, and ends when the client does not come back.
func TestResumeWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan string, 1)
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
		defer stop()
		c := newResumer(t, h, "http://hub", signalr.JSON, realtimetest.Options{Dial: dial})
		service := h.Service("chat")
		if err := service.JoinGroup(t.Context(), "g", c.public); err != nil {
			t.Fatal(err)
		}
		c.nc.Close()
		time.Sleep(20 * time.Second)
		m, _ := realtime.NewMessage("m", 1)
		if err := service.Send(t.Context(), realtime.Group("g"), m); err != nil {
			t.Fatal(err)
		}
		c.resume()
		for len(c.received) == 0 && c.read() {
		}
		if len(c.received) != 1 {
			t.Fatal("what was sent while the client was away is lost")
		}
		c.nc.Close()
		start := time.Now()
		if why := <-ended; why != hub.ReasonDropped.Text() {
			t.Errorf("ended with %q", why)
		}
		within(t, "end", time.Since(start), 30*time.Second)
		if _, _, err := realtimetest.Open(t.Context(), c.ep, c.id, c.o); err == nil {
			t.Error("an ended connection was resumed")
		}
	})
}

// TestResumeAcknowledges checks that a client whose acknowledgment was lost gets
// another: one whose buffer is full would wait for it for ever.
func TestResumeAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		c := newResumer(t, h, "http://hub", signalr.JSON, realtimetest.Options{Dial: dial})
		defer func() { c.nc.Close() }()
		c.note(1)
		lost := c.unsure
		for len(c.unsure) > 0 && c.read() {
		}
		c.unsure = lost // as if it had not come
		c.nc.Close()
		c.resume()
		start := time.Now()
		for len(c.unsure) > 0 && time.Since(start) < 10*time.Second && c.read() {
		}
		within(t, "acknowledgment", time.Since(start), time.Second)
		if len(c.unsure) > 0 {
			t.Error("what was processed was not acknowledged again")
		}
	})
}

// TestResumeEnds checks what ends a resumable connection for good.
func TestResumeEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		break_ func(c *resumer, s realtime.Service)
		want   string
	}{
		{"a clean close of the WebSocket", func(c *resumer, _ realtime.Service) {
			c.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
		}, ""},
		{"a Close message", func(c *resumer, _ realtime.Service) { c.send(signalr.Message{Type: signalr.Close}) }, ""},
		{"a sequence from the future", func(c *resumer, _ realtime.Service) {
			c.nc.Close()
			c.open()
			c.send(signalr.Message{Type: signalr.Sequence, SequenceID: 5})
		}, hub.ReasonSequence.Text()},
		{"too much without acknowledgement", func(c *resumer, s realtime.Service) {
			m, _ := realtime.NewMessage("m", string(bytes.Repeat([]byte("x"), 3000)))
			for range 10 {
				_ = s.Send(context.Background(), realtime.All(), m)
			}
		}, hub.ReasonResume.Text()},
		{"the application", func(c *resumer, s realtime.Service) { _ = s.CloseConnection(context.Background(), c.public, "bye") }, "bye"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan string, 1)
			h, origin := serve(t, hub.Config{Limits: hub.Limits{ResumeBytes: 20_000}, Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
			c := newResumer(t, h, origin, signalr.JSON, realtimetest.Options{})
			defer func() { c.nc.Close() }()
			tt.break_(c, h.Service("chat"))
			if why := <-ended; why != tt.want {
				t.Errorf("ended with %q, want %q", why, tt.want)
			}
		})
	}
}
