// Package realtimetest is the contract of package realtime as a test suite, and a
// small SignalR client to drive it. The suite runs over every implementation of
// realtime.Service that we can run: a hub, joined hubs, and Azure's wire protocols
// in front of a hub. It asserts no more than the contract promises; what an
// implementation adds by the optional interfaces of package realtime is tested
// where it has them.
package realtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/signalr"
)

// Harness is an implementation under test, for one named hub.
type Harness struct {
	// Services are the ways for an application to reach the hub, at least one: on a
	// cluster, one for each node. Tests use them in turn.
	Services []realtime.Service
	// Origins of the nodes that clients connect to, at least one.
	Origins []string
	// Dial opens the clients' network connections; nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Start sets an implementation up that serves the named hub with the handler, and
// tears it down with the test.
type Start func(t *testing.T, hub string, h realtime.Handler) Harness

// patience is how long something may take that should happen at once.
const patience = 10 * time.Second

// Run runs the suite.
func Run(t *testing.T, start Start) {
	tests := []struct {
		name string
		run  func(*world)
	}{
		{"invocations", testInvocations},
		{"recipients", testRecipients},
		{"groups", testGroups},
		{"close", testClose},
		{"claims", testClaims},
		{"order of calls", testOrder},
		{"unknown targets", testUnknown},
		{"presence", testPresence},
		{"user groups", testUserGroups},
		{"close many", testCloseMany},
		{"client results", testClientResults},
		{"raw sends", testRawSends},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, start)
			tt.run(w)
		})
	}
}

// world is one test's implementation, application and clients.
type world struct {
	*testing.T
	Harness
	ctx  context.Context
	app  *app
	turn int
}

func newWorld(t *testing.T, start Start) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, app: newApp()}
	w.Harness = start(t, "chat", w.app)
	return w
}

// service returns the services in turn.
func (w *world) service() realtime.Service {
	w.turn++
	return w.Services[w.turn%len(w.Services)]
}

// connect connects a client of user, at the nodes in turn, in protocols in turn,
// and waits until the application knows it.
func (w *world) connect(user string, claims map[string]string, o Options) *Client {
	w.Helper()
	w.turn++
	s := w.Services[w.turn%len(w.Services)]
	ep, err := s.Negotiate(w.ctx, realtime.Claims{User: user, Custom: claims, Origin: w.Origins[w.turn%len(w.Origins)]})
	if err != nil {
		w.Fatal("negotiate:", err)
	}
	o.Dial = w.Dial
	o.Protocol = signalr.Protocols()[w.turn/2%2]
	c, err := Dial(w.ctx, ep, o)
	if err != nil {
		w.Fatal("connect:", err)
	}
	w.Cleanup(c.Cut)
	w.app.wait(w, "connected "+c.ID)
	return c
}

// message makes a message.
func (w *world) message(target string, args ...any) realtime.Message {
	w.Helper()
	m, err := realtime.NewMessage(target, args...)
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// must fails the test on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// expect reads the client's next message and compares it, written as target and arguments.
func (w *world) expect(c *Client, want string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	m, err := c.Next(ctx)
	if err != nil {
		w.Fatalf("waiting for %q: %v", want, err)
	}
	got := m.Target
	for _, a := range m.Arguments {
		got += " " + string(a)
	}
	if got != want {
		w.Fatalf("got %q (type %d), want %q", got, m.Type, want)
	}
}

// silent checks that nothing reached the client, by a message of its own that
// comes through the same node after whatever was sent before.
func (w *world) silent(c *Client) {
	w.Helper()
	if _, err := c.Invoke(w.ctx, "whoami"); err != nil {
		w.Fatal(err)
	}
	select {
	case m := <-c.messages:
		w.Fatalf("got %q, want silence", m.Target)
	default:
	}
}

// app is the application: it records calls and answers a few targets.
type app struct {
	mu    sync.Mutex
	calls []string
	seen  chan struct{} // closed and renewed with every call
	conns map[string]realtime.Connection
}

func newApp() *app {
	return &app{seen: make(chan struct{}), conns: map[string]realtime.Connection{}}
}

func (a *app) record(c realtime.Connection, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, what)
	a.conns[c.ID] = c
	close(a.seen)
	a.seen = make(chan struct{})
}

// Connected records the call.
func (a *app) Connected(_ context.Context, c realtime.Connection) { a.record(c, "connected "+c.ID) }

// Disconnected records the call.
func (a *app) Disconnected(_ context.Context, c realtime.Connection, reason string) {
	a.record(c, "disconnected "+c.ID+" "+reason)
}

// Invoked answers echo (its argument), whoami (the connection id), void (nothing),
// fail (an error for the client) and secret (one that is not).
func (a *app) Invoked(_ context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	args := make([]string, len(m.Arguments))
	for i, arg := range m.Arguments {
		args[i] = string(arg)
	}
	a.record(c, strings.Join(append([]string{"invoked", c.ID, m.Target}, args...), " "))
	switch m.Target {
	case "echo":
		if len(m.Arguments) != 1 {
			return nil, &realtime.Error{Code: "bad_arguments", Message: fmt.Sprintf("%d arguments", len(m.Arguments))}
		}
		return m.Arguments[0], nil
	case "whoami":
		return json.Marshal(c.ID)
	case "void":
		return nil, nil
	case "fail":
		return nil, &realtime.Error{Code: "no", Message: "it does not work"}
	case "secret":
		return nil, errors.New("the password is swordfish")
	}
	return nil, &realtime.Error{Code: "unknown", Message: "no such target"}
}

// wait waits for a call whose record begins with prefix, and returns the record.
func (a *app) wait(w *world, prefix string) string {
	w.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		seen := a.seen
		for _, c := range a.calls {
			if strings.HasPrefix(c, prefix) {
				a.mu.Unlock()
				return c
			}
		}
		a.mu.Unlock()
		select {
		case <-seen:
		case <-timeout.C:
			w.Fatalf("application was not called: %s", prefix)
		}
	}
}

func (a *app) connection(id string) realtime.Connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conns[id]
}

// about lists the calls for a connection, in order, without its id.
func (a *app) about(id string) (calls []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.calls {
		if strings.Contains(c, id) {
			calls = append(calls, strings.Replace(c, " "+id, "", 1))
		}
	}
	return calls
}
