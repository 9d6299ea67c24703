package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"
)

// TestSoak opens and closes 500 connections ten times, in every way to end them,
// and expects memory and goroutines where they were.
func TestSoak(t *testing.T) {
	before := runtime.NumGoroutine()
	var opened, ended atomic.Int64
	quiet := make(chan struct{}, 1)
	h, stop := run(t, hub.Config{Limits: hub.Limits{PerAddress: -1}, Handlers: chat(funcs{
		connected: func(realtime.Connection) { opened.Add(1) },
		disconnected: func(realtime.Connection, string) {
			if ended.Add(1)%500 == 0 {
				quiet <- struct{}{}
			}
		},
	})})
	server := httptest.NewServer(h.Handler())
	ep := endpoint(t, h, server.URL, "ann")
	service := h.Service("chat")
	var after [10]uint64
	for round := range after {
		var wg sync.WaitGroup
		for w := range 10 {
			wg.Go(func() {
				for i := range 50 {
					c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{Protocol: signalr.Protocols()[i%2]})
					if err != nil {
						t.Error(err)
						return
					}
					if i%10 == 0 {
						if err := service.JoinGroup(t.Context(), "g", c.ID); err != nil {
							t.Error(err)
						}
					}
					switch (w + i) % 3 {
					case 0:
						c.Close()
					case 1:
						c.Cut()
					case 2:
						if err := service.CloseConnection(t.Context(), c.ID, ""); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
							t.Error(err)
						}
						if _, _, err := c.Ended(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		<-quiet
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		after[round] = m.HeapAlloc
	}
	if opened.Load() != 5000 || ended.Load() != 5000 {
		t.Errorf("%d opened, %d ended", opened.Load(), ended.Load())
	}
	if grown := int64(after[9]) - int64(after[1]); grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes: %v", grown, after)
	}
	stop()
	server.CloseClientConnections()
	server.Close()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before { // those of net/http end on their own
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, were %d\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// rawApp is a handler that wants invocations as they came.
type rawApp struct {
	funcs
	answer func(protocol, target string, raw []byte, wants bool) ([]byte, error)
}

func (a rawApp) InvokedRaw(_ context.Context, _ realtime.Connection, protocol, target string, raw []byte, wants bool) ([]byte, error) {
	return a.answer(protocol, target, raw, wants)
}

func TestRawHandler(t *testing.T) {
	for _, p := range signalr.Protocols() {
		app := rawApp{answer: func(protocol, target string, raw []byte, wants bool) ([]byte, error) {
			m, err := p.Decode(raw)
			if err != nil || protocol != p.String() || m.Target != target || wants != (m.InvocationID != "") {
				t.Errorf("%s %s: %+v, %v", protocol, target, m, err)
			}
			if !wants {
				return nil, nil
			}
			answer := signalr.Message{Type: signalr.Completion, InvocationID: m.InvocationID, Value: json.RawMessage("7")}
			switch target {
			case "void":
				return nil, nil
			case "fail":
				return nil, &realtime.Error{Code: "no", Message: "not now"}
			case "foreign":
				answer.InvocationID = "other"
			case "nonsense":
				return []byte("hello"), nil
			}
			framed, err := p.Append(nil, &answer)
			if err != nil {
				t.Error(err)
			}
			if target == "unframed" {
				_ = signalrBody(p, framed, func(b []byte) { framed = b })
			}
			return framed, nil
		}}
		h, origin := serve(t, hub.Config{Handlers: chat(app)})
		c := connect(t, h, origin, "", realtimetest.Options{Protocol: p})
		if err := c.Send("framed"); err != nil { // a client that wants nothing gets nothing
			t.Fatal(err)
		}
		for target, want := range map[string]string{"framed": "7", "unframed": "7", "void": "", "fail": "no: not now", "foreign": "unexpected", "nonsense": "unexpected"} {
			got, err := c.Invoke(t.Context(), target, 1)
			switch {
			case want == "7" || want == "":
				if err != nil || string(got) != want {
					t.Errorf("%s %s: %s, %v", p, target, got, err)
				}
			case err == nil || !strings.Contains(err.Error(), want):
				t.Errorf("%s %s: %s, %v", p, target, got, err)
			}
		}
	}
}

func signalrBody(p signalr.Protocol, framed []byte, f func([]byte)) error {
	s := signalr.NewSplitter(p, len(framed))
	return s.Feed(framed, func(b []byte) error { f(b); return nil })
}

// TestInvokeEnds checks that nobody waits for a client that will not answer.
func TestInvokeEnds(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{}), Limits: hub.Limits{Invocations: 1}})
	asked := make(chan *realtimetest.Client, 1)
	forever := make(chan struct{})
	defer close(forever)
	c := connect(t, h, origin, "", realtimetest.Options{OnInvoke: func(realtime.Message) (json.RawMessage, error) {
		asked <- nil
		<-forever
		return nil, nil
	}})
	invoker := h.Service("chat").(realtime.Invoker)
	m, _ := realtime.NewMessage("question")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { _, err := invoker.Invoke(ctx, c.ID, m); result <- err }()
	<-asked
	var e *realtime.Error
	if _, err := invoker.Invoke(t.Context(), c.ID, m); !errors.As(err, &e) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	go func() { _, err := invoker.Invoke(t.Context(), c.ID, m); result <- err }()
	// Before or after the question: nobody answers either way.
	if err := h.Service("chat").CloseConnection(t.Context(), c.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, realtime.ErrNoConnection) {
		t.Errorf("closed: %v", err)
	}
}

// TestPanic checks that a handler's panic is one client's failed call.
func TestPanic(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{invoked: func(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
		if m.Target == "panic" {
			panic("secret")
		}
		return json.RawMessage("1"), nil
	}})})
	c := connect(t, h, origin, "", realtimetest.Options{})
	if _, err := c.Invoke(t.Context(), "panic"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("panic: %v", err)
	}
	if got, err := c.Invoke(t.Context(), "fine"); err != nil || string(got) != "1" {
		t.Errorf("afterwards: %s, %v", got, err)
	}
}
