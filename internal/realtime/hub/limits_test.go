package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus"
)

// metric reads a counter with one label.
func metric(t *testing.T, r *prometheus.Registry, name, value string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && len(m.Label) == 1 && m.Label[0].GetValue() == value {
				return m.Counter.GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, value)
	return 0
}

// TestCloseReasons breaks each limit and rule that closes a connection, and checks
// what the client, the application and the metrics learn of it.
func TestCloseReasons(t *testing.T) {
	big := strings.Repeat("x", 5000)
	write := func(b string) func(*realtimetest.Client, *testing.T) {
		return func(c *realtimetest.Client, t *testing.T) { c.WriteRaw(ws.OpText, []byte(b)) }
	}
	for _, tt := range []struct {
		reason hub.Reason
		do     func(*realtimetest.Client, *testing.T)
	}{
		{hub.ReasonTooLarge, write(`{"type":1,"target":"x","arguments":["` + big)},
		{hub.ReasonTooLarge, write(`{"type":1,"target":"x","arguments":["` + big + `"]}` + "\x1e")},
		{hub.ReasonProtocol, write("hello\x1e")},
		{hub.ReasonProtocol, write(`{"type":1}` + "\x1e")},
		{hub.ReasonProtocol, write("\xff\x1e")},
		{hub.ReasonProtocol, func(c *realtimetest.Client, t *testing.T) { c.WriteRaw(ws.OpContinuation, nil) }},
		{hub.ReasonProtocol, func(c *realtimetest.Client, t *testing.T) { c.WriteRaw(ws.OpCode(5), nil) }},
		{hub.ReasonRate, func(c *realtimetest.Client, t *testing.T) {
			for range 30 {
				_ = c.Send("x") // fails once closed
			}
		}},
	} {
		t.Run(tt.reason.String(), func(t *testing.T) {
			ended := make(chan string, 1)
			registry := prometheus.NewRegistry()
			h, origin := serve(t, hub.Config{Registerer: registry, Limits: hub.Limits{Message: 4096, Rate: 5, Burst: 20},
				Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
			c := connect(t, h, origin, "", realtimetest.Options{})
			tt.do(c, t)
			m, code, err := c.Ended(t.Context())
			if err != nil || m == nil || m.Error != tt.reason.Text() || m.AllowReconnect != tt.reason.Reconnect() || code != ws.StatusNormalClosure {
				t.Errorf("closed with %+v, code %d, %v", m, code, err)
			}
			if why := <-ended; why != tt.reason.Text() {
				t.Errorf("the application was told %q", why)
			}
			if n := metric(t, registry, "causeway_hub_connections_closed_total", tt.reason.String()); n != 1 {
				t.Errorf("metric is %v", n)
			}
		})
	}
}

// TestHandshakeRefusals checks the answers to handshakes that can't be accepted.
func TestHandshakeRefusals(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	for _, tt := range []struct{ in, want string }{
		{`{"protocol":"blazorpack","version":1}`, `{"error":"The protocol 'blazorpack' is not supported."}`},
		{`{"protocol":"json","version":3}`, `{"error":"The server does not support version 3 of the 'json' protocol."}`},
		{`{"type":6}`, `{"error":"The handshake was refused."}`},
		{`GET / HTTP/1.1`, `{"error":"The handshake was refused."}`},
		{strings.Repeat("x", 10_000), `{"error":"The handshake was refused."}`},
	} {
		nc, r, err := realtimetest.Open(t.Context(), endpoint(t, h, origin, ""), "", realtimetest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte(tt.in+"\x1e")))); err != nil {
			t.Fatal(err)
		}
		f, err := realtimetest.ReadFrame(r)
		if err != nil || string(f.Payload) != tt.want+"\x1e" {
			t.Errorf("%.40s: %q, %v", tt.in, f.Payload, err)
		}
		if f, err = realtimetest.ReadFrame(r); err != nil || f.Header.OpCode != ws.OpClose {
			t.Errorf("%.40s: %+v, %v", tt.in, f.Header, err)
		}
		nc.Close()
	}
}

// TestHandshakeWithMessages sends the handshake and messages in one frame, and cut
// at every byte.
func TestHandshakeWithMessages(t *testing.T) {
	got := make(chan string, 1000)
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{invoked: func(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
		got <- string(m.Arguments[0])
		return nil, nil
	}}), Limits: hub.Limits{PerAddress: -1}})
	for _, p := range signalr.Protocols() {
		stream := signalr.AppendHandshake(nil, signalr.Handshake{Protocol: p.String(), Version: 1})
		for _, arg := range []string{`1`, `"two"`} {
			m := signalr.Message{Type: signalr.Invocation, Target: "m", Arguments: []json.RawMessage{json.RawMessage(arg)}}
			var err error
			if stream, err = p.Append(stream, &m); err != nil {
				t.Fatal(err)
			}
		}
		ep := endpoint(t, h, origin, "")
		for cut := 0; cut <= len(stream); cut += 3 {
			nc, _, err := realtimetest.Open(t.Context(), ep, "", realtimetest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			// A fragmented message, the continuation of which comes by itself.
			first := ws.NewFrame(ws.OpText, false, stream[:cut:cut])
			second := ws.NewFrame(ws.OpContinuation, true, stream[cut:])
			for _, f := range []ws.Frame{first, ws.NewPingFrame([]byte("between")), second} {
				if err := ws.WriteFrame(nc, ws.MaskFrame(f)); err != nil {
					t.Fatal(err)
				}
			}
			if a, b := <-got, <-got; a != `1` || b != `"two"` {
				t.Fatalf("%s cut at %d: %s, %s", p, cut, a, b)
			}
			nc.Close()
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	registry := prometheus.NewRegistry()
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{}), Registerer: registry, Limits: hub.Limits{Connections: 3, PerAddress: 2, Groups: 2}})
	a := connect(t, h, origin, "", realtimetest.Options{})
	b := connect(t, h, origin, "", realtimetest.Options{})
	if _, err := realtimetest.Dial(t.Context(), endpoint(t, h, origin, ""), realtimetest.Options{}); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("a third connection of the address: %v", err)
	}
	if n := metric(t, registry, "causeway_hub_refused_total", "address"); n != 1 {
		t.Errorf("metric is %v", n)
	}
	s := h.Service("chat")
	for i, g := range []string{"g", "h", "i"} {
		var e *realtime.Error
		if err := s.JoinGroup(t.Context(), g, a.ID); (i == 2) != errors.As(err, &e) {
			t.Errorf("group %d: %v", i, err)
		}
	}
	if err := s.LeaveGroup(t.Context(), "g", a.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.JoinGroup(t.Context(), "i", a.ID); err != nil {
		t.Errorf("after leaving one: %v", err)
	}
	// A place is free again once its connection has ended.
	b.Close()
	for {
		c, err := realtimetest.Dial(t.Context(), endpoint(t, h, origin, ""), realtimetest.Options{})
		if err == nil {
			c.Cut()
			break
		}
		if !strings.Contains(err.Error(), "429") {
			t.Fatal(err)
		}
	}
}

// TestSlowClient stops reading: the hub closes the connection, and others go on.
func TestSlowClient(t *testing.T) {
	ended := make(chan string, 1)
	h, origin := serve(t, hub.Config{Limits: hub.Limits{OutboxMessages: 50}, Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
	nc, _, err := realtimetest.Open(t.Context(), endpoint(t, h, origin, "slow"), "", realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte(hello)))); err != nil {
		t.Fatal(err)
	}
	m, _ := realtime.NewMessage("m", strings.Repeat("x", 50_000))
	for {
		if err := h.Service("chat").Send(t.Context(), realtime.All(), m); err != nil {
			t.Fatal(err)
		}
		select {
		case why := <-ended:
			if why != hub.ReasonSlowClient.Text() {
				t.Errorf("ended with %q", why)
			}
			return
		default:
		}
	}
}

// TestStalledClient writes more than a socket takes, but less than an outbox: a client
// that goes on reading misses nothing, and one that does not is closed in time.
func TestStalledClient(t *testing.T) {
	ended := make(chan string, 2)
	h, origin := serveFront(t, hub.Config{
		Timing:   hub.Timing{Write: 5 * time.Second}, // a reader on a busy machine may pause for a second
		Limits:   hub.Limits{OutboxMessages: 1000, OutboxBytes: 64 << 20},
		Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }}),
	})
	s := h.Service("chat")
	const messages = 500
	text := strings.Repeat("x", 50_000)
	open := func(user string) io.Reader {
		nc, r, err := realtimetest.Open(t.Context(), endpoint(t, h, origin, user), "", realtimetest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte(hello)))); err != nil {
			t.Fatal(err)
		}
		if f, err := realtimetest.ReadFrame(r); err != nil || string(f.Payload) != "{}\x1e" {
			t.Fatal(f, err)
		}
		for i := range messages {
			m, _ := realtime.NewMessage("m", i, text)
			if err := s.Send(t.Context(), realtime.User(user), m); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	open("stalled")
	r := open("slow")
	for i := 0; i < messages; {
		f, err := realtimetest.ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		for body := range bytes.SplitSeq(bytes.TrimSuffix(f.Payload, []byte("\x1e")), []byte("\x1e")) {
			if bytes.Contains(body, []byte(`"type":6`)) {
				continue
			}
			if want := fmt.Sprintf(`"arguments":[%d,`, i); !bytes.Contains(body, []byte(want)) {
				t.Fatalf("message %d is %.80s", i, body)
			}
			i++
		}
	}
	if why := <-ended; why != hub.ReasonSlowClient.Text() {
		t.Errorf("ended with %q", why)
	}
}

// TestStreaming checks that streams are refused and what is not known is ignored.
func TestStreaming(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{invoked: echo})})
	c := connect(t, h, origin, "", realtimetest.Options{})
	for _, m := range []signalr.Message{
		{Type: signalr.StreamItem, InvocationID: "s", Value: json.RawMessage("1")},
		{Type: signalr.CancelInvocation, InvocationID: "s"},
		{Type: signalr.Completion, InvocationID: "unknown"},
		{Type: signalr.Ack, SequenceID: 5},
	} {
		if err := c.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	c.WriteRaw(ws.OpText, []byte(`{"type":99}`+"\x1e"))
	if _, err := c.Stream(t.Context(), "numbers"); err == nil || !strings.Contains(err.Error(), "not_supported") {
		t.Errorf("stream: %v", err)
	}
	if got, err := c.Invoke(t.Context(), "echo", 1); err != nil || string(got) != "1" {
		t.Errorf("afterwards: %s, %v", got, err)
	}
}
