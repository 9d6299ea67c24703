package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"causeway/internal/front"
	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/hub/membus"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/secret"
)

func keys() []secret.Value {
	return []secret.Value{secret.New("primary-key-of-the-test"), secret.New("secondary-key")}
}

// run runs a hub until the test ends, and returns what ends it sooner.
func run(t *testing.T, cfg hub.Config) (h *hub.Hub, stop func()) {
	t.Helper()
	if cfg.Keys == nil {
		cfg.Keys = keys
	}
	h, err := hub.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-h.Ready()
	stopped := false
	stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Error("run:", err)
		}
	}
	t.Cleanup(stop)
	return h, stop
}

// serve runs a hub behind an HTTP server until the test ends.
func serve(t *testing.T, cfg hub.Config) (*hub.Hub, string) {
	t.Helper()
	h, _ := run(t, cfg)
	server := httptest.NewServer(h.Handler())
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	return h, server.URL
}

func TestContract(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
		h, origin := serve(t, hub.Config{Handlers: map[string]realtime.Handler{name: handler}})
		return realtimetest.Harness{Services: []realtime.Service{h.Service(name)}, Origins: []string{origin}}
	})
}

// TestContractBehindFront takes the way of the application's listeners.
func TestContractBehindFront(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
		h, origin := serveFront(t, hub.Config{Handlers: map[string]realtime.Handler{name: handler}})
		return realtimetest.Harness{Services: []realtime.Service{h.Service(name)}, Origins: []string{origin}}
	})
}

// serveFront runs a hub behind a Front.
func serveFront(t *testing.T, cfg hub.Config) (*hub.Hub, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait) // after the hub, as the application does
	t.Cleanup(cancel)
	h, _ := run(t, cfg)
	f := front.New(ln.(*net.TCPListener), front.Config{
		Handler: h.Handler(), Quick: hub.Quick,
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeader: 16 << 10,
		Logger: slog.New(slog.DiscardHandler),
	})
	server := &http.Server{Handler: h.Handler(), ReadHeaderTimeout: time.Minute}
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error("front:", err)
		}
	})
	running.Go(func() { _ = server.Serve(f.HTTP()) })
	t.Cleanup(func() { _ = server.Close() })
	return h, "http://" + ln.Addr().String()
}

// TestContractWithoutSockets takes the way of TLS connections, which are no sockets.
func TestContractWithoutSockets(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: map[string]realtime.Handler{name: handler}})
		t.Cleanup(stop)
		return realtimetest.Harness{Services: []realtime.Service{h.Service(name)}, Origins: []string{"http://hub"}, Dial: dial}
	})
}

func TestContractOverThreeNodes(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) (hs realtimetest.Harness) {
		bus := membus.New()
		for i := range 3 {
			h, origin := serve(t, hub.Config{Node: fmt.Sprint("node-", i), Broker: bus, Handlers: map[string]realtime.Handler{name: handler}})
			hs.Services = append(hs.Services, h.Service(name))
			hs.Origins = append(hs.Origins, origin)
		}
		return hs
	})
}

// memory is a listener without a network.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
}

func newMemory() *memory { return &memory{make(chan net.Conn), make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.done:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.done); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- server:
		return client, nil
	case <-m.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serveMemory runs a hub behind an HTTP server without a network. stop ends both.
func serveMemory(t *testing.T, cfg hub.Config) (h *hub.Hub, dial func(context.Context, string, string) (net.Conn, error), stop func()) {
	t.Helper()
	h, stopHub := run(t, cfg)
	m := newMemory()
	server := &http.Server{Handler: h.Handler()}
	served := make(chan struct{})
	go func() { _ = server.Serve(m); close(served) }()
	return h, m.dial, func() {
		stopHub()
		_ = server.Shutdown(context.Background()) // waits for answers under way, as the application does
		<-served
	}
}

// funcs is a handler made of functions, each of which may be nil.
type funcs struct {
	connected    func(realtime.Connection)
	disconnected func(c realtime.Connection, reason string)
	invoked      func(context.Context, realtime.Connection, realtime.Message) (json.RawMessage, error)
}

func (f funcs) Connected(_ context.Context, c realtime.Connection) {
	if f.connected != nil {
		f.connected(c)
	}
}

func (f funcs) Disconnected(_ context.Context, c realtime.Connection, reason string) {
	if f.disconnected != nil {
		f.disconnected(c, reason)
	}
}

func (f funcs) Invoked(ctx context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	if f.invoked != nil {
		return f.invoked(ctx, c, m)
	}
	return nil, nil
}

func chat(h realtime.Handler) map[string]realtime.Handler {
	return map[string]realtime.Handler{"chat": h}
}

// endpoint negotiates for a user.
func endpoint(t *testing.T, h *hub.Hub, origin, user string) realtime.Endpoint {
	t.Helper()
	ep, err := h.Service("chat").Negotiate(t.Context(), realtime.Claims{User: user, Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// connect connects a client.
func connect(t *testing.T, h *hub.Hub, origin, user string, o realtimetest.Options) *realtimetest.Client {
	t.Helper()
	c, err := realtimetest.Dial(t.Context(), endpoint(t, h, origin, user), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	return c
}
