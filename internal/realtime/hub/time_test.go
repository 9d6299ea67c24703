package hub_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// next reads the client's next message.
func next(t *testing.T, c *realtimetest.Client) signalr.Message {
	t.Helper()
	m, err := c.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// within checks that d is what it should be, up to the hub's tick of a second.
func within(t *testing.T, what string, d, want time.Duration) {
	t.Helper()
	if d < want-time.Second || d > want+2*time.Second {
		t.Errorf("%s after %v, want about %v", what, d, want)
	}
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		c := connect(t, h, "http://hub", "", realtimetest.Options{Dial: dial})
		start := time.Now()
		for i := range 3 {
			if m := next(t, c); m.Type != signalr.Ping {
				t.Fatalf("got %+v, want a ping", m)
			}
			within(t, "ping", time.Since(start), time.Duration(i+1)*15*time.Second)
		}
		// A message counts as a sign of life.
		time.Sleep(7 * time.Second)
		m, _ := realtime.NewMessage("hello")
		if err := h.Service("chat").Send(t.Context(), realtime.All(), m); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		if m := next(t, c); m.Type != signalr.Invocation {
			t.Fatalf("got %+v", m)
		}
		if m := next(t, c); m.Type != signalr.Ping {
			t.Fatalf("got %+v, want a ping", m)
		}
		within(t, "ping", time.Since(sent), 15*time.Second)
		c.Cut()
	})
}

func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		quiet := connect(t, h, "http://hub", "", realtimetest.Options{Dial: dial})
		c := connect(t, h, "http://hub", "", realtimetest.Options{Dial: dial})
		time.Sleep(time.Minute) // not armed yet
		if err := c.Write(signalr.Message{Type: signalr.Ping}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		m, code, err := c.Ended(t.Context())
		if err != nil || m == nil || !m.AllowReconnect || m.Error != hub.ReasonTimeout.Text() || code != ws.StatusNormalClosure {
			t.Errorf("closed with %+v, code %d, %v", m, code, err)
		}
		within(t, "close", time.Since(start), 30*time.Second)
		if time.Since(start) < 30*time.Second {
			t.Error("closed too early")
		}
		if err := quiet.Send("x"); err != nil {
			t.Error("a client that never pinged was closed:", err)
		}
		quiet.Cut()
	})
}

// TestBusyHandler checks that pings keep a connection alive while its handler
// works, and that what waits for the handler does not time out.
func TestBusyHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, dial, stop := serveMemory(t, hub.Config{Limits: hub.Limits{Pending: 2}, Handlers: chat(funcs{
			invoked: func(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
				<-release
				return json.RawMessage("7"), nil
			}})})
		defer stop()
		c := connect(t, h, "http://hub", "", realtimetest.Options{Dial: dial})
		if err := c.Send("slow"); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if err := c.Write(signalr.Message{Type: signalr.Ping}); err != nil {
				t.Fatal("closed while the handler worked:", err)
			}
			time.Sleep(15 * time.Second)
		}
		// Fill the inbox, and more: the hub stops reading, and does not blame the client.
		go func() {
			for range 5 {
				_ = c.Send("slow")
			}
		}()
		time.Sleep(2 * time.Minute)
		close(release)
		if got, err := c.Invoke(t.Context(), "slow"); err != nil || string(got) != "7" {
			t.Errorf("after the jam: %s, %v", got, err)
		}
		c.Cut()
	})
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		start := time.Now()
		nc, r, err := realtimetest.Open(t.Context(), endpoint(t, h, "http://hub", ""), "", realtimetest.Options{Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		f, err := realtimetest.ReadFrame(r)
		if err != nil || string(f.Payload) != `{"error":"Handshake was canceled."}`+"\x1e" {
			t.Errorf("got %q, %v", f.Payload, err)
		}
		within(t, "refusal", time.Since(start), 15*time.Second)
		if f, err = realtimetest.ReadFrame(r); err != nil || f.Header.OpCode != ws.OpClose {
			t.Errorf("got %+v, %v, want a close", f.Header, err)
		}
		// A client that does not answer the close is cut off.
		if _, err = realtimetest.ReadFrame(r); err == nil {
			t.Error("got another frame")
		}
		within(t, "cut", time.Since(start), 20*time.Second)
		nc.Close()
	})
}

func TestNegotiatedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		o := realtimetest.Options{Dial: dial}
		ep := endpoint(t, h, "http://hub", "")
		n, err := realtimetest.Negotiate(t.Context(), ep, o)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		nc, _, err := realtimetest.Open(t.Context(), ep, n.ConnectionToken, o)
		if err != nil {
			t.Fatal("in time:", err)
		}
		nc.Close()
		if n, err = realtimetest.Negotiate(t.Context(), ep, o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(17 * time.Second)
		if _, _, err := realtimetest.Open(t.Context(), ep, n.ConnectionToken, o); err == nil {
			t.Error("a negotiated id did not expire")
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{disconnected: func(_ realtime.Connection, reason string) { ended = append(ended, reason) }})})
		c := connect(t, h, "http://hub", "", realtimetest.Options{Dial: dial})
		if _, err := c.Invoke(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		// This one never answers; it must not hold the drain up for longer than it may.
		nc, _, err := realtimetest.Open(t.Context(), endpoint(t, h, "http://hub", ""), "", realtimetest.Options{Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		start := time.Now()
		stop()
		if d := time.Since(start); d > 15*time.Second {
			t.Errorf("drained in %v", d)
		}
		m, code, err := c.Ended(t.Context())
		if err != nil || m == nil || !m.AllowReconnect || code != ws.StatusNormalClosure {
			t.Errorf("closed with %+v, code %d, %v", m, code, err)
		}
		if len(ended) != 1 || ended[0] != hub.ReasonDraining.Text() {
			t.Errorf("handler was told %q", ended)
		}
	})
}

// TestTokenEnd checks asrs.s.coae: the token says when to close.
func TestTokenEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		defer stop()
		ep := realtime.Endpoint{URL: "http://hub/client/?hub=chat", AccessToken: token(t, "http://hub/client/?hub=chat", map[string]any{
			"asrs.s.coae": "true", "asrs.s.aeo": time.Now().Add(40 * time.Second).Unix()})}
		start := time.Now()
		c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := c.Ended(t.Context())
		if err != nil || m == nil || !m.AllowReconnect || m.Error != hub.ReasonExpired.Text() {
			t.Errorf("closed with %+v, %v", m, err)
		}
		within(t, "close", time.Since(start), 40*time.Second)
	})
}
