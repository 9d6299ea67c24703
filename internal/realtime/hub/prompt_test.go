package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"

	"github.com/gobwas/ws"
)

// prompt is a handler that promises not to wait.
type prompt struct{ funcs }

func (prompt) Prompt() {}

// relayed is a prompt handler that passes to(id, args…) on to a connection.
func relayed(service func() realtime.Service, ended chan<- string) prompt {
	return prompt{funcs{
		invoked: func(ctx context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
			switch m.Target {
			case "panic":
				panic("as the test asks")
			case "fail":
				return nil, errors.New("an inner matter")
			case "leave":
				return nil, service().CloseConnection(ctx, c.ID, "bye")
			case "refuse":
				return nil, service().(realtime.Refuser).RefuseConnection(ctx, c.ID, "never again")
			case "id":
				return json.Marshal(c.ID)
			}
			var id string
			if err := json.Unmarshal(m.Arguments[0], &id); err != nil {
				return nil, err
			}
			return nil, service().Send(ctx, realtime.ToConnection(id), realtime.Message{Target: "got", Arguments: m.Arguments[1:]})
		},
		disconnected: func(_ realtime.Connection, why string) { ended <- why },
	}}
}

func serveRelayed(t *testing.T, limits hub.Limits) (h *hub.Hub, origin string, ended chan string) {
	t.Helper()
	ended = make(chan string, 10)
	var service realtime.Service
	h, origin = serve(t, hub.Config{Limits: limits, Handlers: chat(relayed(func() realtime.Service { return service }, ended))})
	service = h.Service("chat")
	return h, origin, ended
}

func idOf(t *testing.T, c *realtimetest.Client) string {
	t.Helper()
	b, err := c.Invoke(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(b), `"`)
}

// TestPromptContract: what is promised of handlers holds on the reading goroutine.
func TestPromptContract(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
		h, origin := serve(t, hub.Config{Handlers: map[string]realtime.Handler{name: promptly{handler}}})
		return realtimetest.Harness{Services: []realtime.Service{h.Service(name)}, Origins: []string{origin}}
	})
}

type promptly struct{ realtime.Handler }

func (promptly) Prompt() {}

// TestPromptOrder: many messages in one frame, to several connections and with
// answers between them, arrive in order and unharmed, whatever the bounds of queues.
func TestPromptOrder(t *testing.T) {
	for _, tt := range []struct {
		limits       hub.Limits
		rounds, size int // within the limits even if nothing can be written meanwhile
	}{
		{hub.Limits{Rate: -1}, 100, 200},
		{hub.Limits{Rate: -1, OutboxMessages: 32, OutboxBytes: 4096}, 30, 10},
		{hub.Limits{Rate: -1, OutboxMessages: 8, OutboxBytes: 4096}, 7, 200},
	} {
		limits, rounds := tt.limits, tt.rounds
		h, origin, _ := serveRelayed(t, limits)
		from := connect(t, h, origin, "", realtimetest.Options{})
		var to []*realtimetest.Client
		var ids []string
		for range 3 {
			c := connect(t, h, origin, "", realtimetest.Options{})
			to, ids = append(to, c), append(ids, idOf(t, c))
		}
		filler := strings.Repeat("é", tt.size)
		var frame []byte
		for i := range rounds {
			for _, id := range ids {
				frame = fmt.Appendf(frame, `{"type":1,"target":"to","arguments":[%q,%d,%q]}`+"\x1e", id, i, filler)
			}
		}
		from.WriteRaw(ws.OpText, frame)
		for _, c := range to {
			for i := range rounds {
				m, err := c.Next(t.Context())
				if err != nil {
					t.Fatalf("limits %+v: message %d: %v", limits, i, err)
				}
				if len(m.Arguments) != 2 || string(m.Arguments[0]) != fmt.Sprint(i) || string(m.Arguments[1]) != `"`+filler+`"` {
					t.Fatalf("message %d is %s", i, m.Arguments)
				}
			}
		}
	}
}

// TestPromptSlowClient: one that does not read is closed, and its sender is served on.
func TestPromptSlowClient(t *testing.T) {
	h, origin, ended := serveRelayed(t, hub.Limits{Rate: -1, OutboxBytes: 256 << 10})
	ep := endpoint(t, h, origin, "")
	nc, r, err := realtimetest.Open(t.Context(), ep, "", realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	write := func(body string) {
		if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte(body)))); err != nil {
			t.Fatal(err)
		}
	}
	write(hello + `{"type":1,"invocationId":"1","target":"id","arguments":[]}` + "\x1e")
	var id string
	for id == "" {
		f, err := realtimetest.ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, after, ok := strings.Cut(string(f.Payload), `"result":"`); ok {
			id, _, _ = strings.Cut(after, `"`)
		}
	}
	sender := connect(t, h, origin, "", realtimetest.Options{})
	big := strings.Repeat("x", 100_000)
	for slow := ""; slow == ""; {
		if err := sender.Send("to", id, big); err != nil {
			t.Fatal(err)
		}
		select {
		case slow = <-ended:
			if slow != hub.ReasonSlowClient.Text() {
				t.Errorf("ended: %q", slow)
			}
		default:
		}
	}
	if idOf(t, sender) == "" {
		t.Error("the sender has no id")
	}
}

// TestPromptEnds: a handler that fails, panics, or closes its own caller.
func TestPromptEnds(t *testing.T) {
	h, origin, ended := serveRelayed(t, hub.Limits{})
	c := connect(t, h, origin, "", realtimetest.Options{})
	const failed = "An unexpected error occurred invoking the method on the server."
	for _, target := range []string{"panic", "fail"} {
		if _, err := c.Invoke(t.Context(), target); err == nil || !strings.HasSuffix(err.Error(), failed) {
			t.Errorf("%s: %v", target, err)
		}
	}
	for target, back := range map[string]bool{"leave": true, "refuse": false} {
		c := connect(t, h, origin, "", realtimetest.Options{})
		if err := c.Send(target); err != nil {
			t.Fatal(err)
		}
		m, code, err := c.Ended(t.Context())
		if err != nil || m == nil || m.AllowReconnect != back || code != ws.StatusNormalClosure {
			t.Errorf("%s: closed with %+v, code %d, %v", target, m, code, err)
		}
		if why, want := <-ended, map[bool]string{true: "bye", false: "never again"}[back]; why != want {
			t.Errorf("%s: the application was told %q", target, why)
		}
	}
}

// TestDetailedErrors: a token with asrs.s.derror has errors told in full.
func TestDetailedErrors(t *testing.T) {
	h, origin, _ := serveRelayed(t, hub.Limits{})
	for text, full := range map[string]bool{"True": true, "false": false, "": false} {
		ep := endpoint(t, h, origin, "")
		ep.AccessToken = token(t, clientAud, map[string]any{"asrs.s.derror": text})
		c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Cut)
		if _, err := c.Invoke(t.Context(), "fail"); err == nil || strings.Contains(err.Error(), "an inner matter") != full {
			t.Errorf("derror %q: %v", text, err)
		}
	}
}
