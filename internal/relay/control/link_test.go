package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/relay/grants"
)

// ledger leases from one cap, and counts.
type ledger struct {
	mu                           sync.Mutex
	left, delivered, outstanding int64
}

func (l *ledger) Lease(_ context.Context, _ string, want int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(want, l.left)
	if n == 0 {
		return 0, fmt.Errorf("lease: %w", grants.ErrSpent)
	}
	l.left -= n
	l.outstanding += n
	return n, nil
}

func (l *ledger) Settle(_ context.Context, _ string, delivered, _, returned int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outstanding -= delivered + returned
	l.delivered += delivered
	l.left += returned
	return nil
}

func (l *ledger) get() (left, delivered, outstanding int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left, l.delivered, l.outstanding
}

// plane is a control plane that knows the node "n", and grants "mine".
type plane struct {
	*ledger
	desk   *Desk
	server *httptest.Server
	states chan State
	lose   func(*http.Request) bool // whose answers don't arrive
	mu     sync.Mutex
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	p := &plane{ledger: &ledger{left: 1000}, states: make(chan State, 64)}
	var err error
	p.desk, err = NewDesk(DeskConfig{
		Keys: []Key{key(t, "n")}, Ledger: p, Grace: time.Minute, Registerer: prometheus.NewRegistry(),
		Owns:    func(node, id string) bool { return node == "n" && id == "mine" },
		Changed: func(_ string, s State) { p.states <- s },
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.desk.Routes(mux)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		lose := p.lose
		p.mu.Unlock()
		if lose != nil && lose(r) {
			mux.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

func (p *plane) wantState(t *testing.T, want ...State) {
	t.Helper()
	for _, s := range want {
		select {
		case got := <-p.states:
			if got != s {
				t.Fatalf("state %v, want %v", got, s)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no change to %v", s)
		}
	}
}

// outlived records how long grants may outlive their end.
type outlived struct {
	mu   sync.Mutex
	last []time.Duration
}

func (o *outlived) set(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, d)
}

func (o *outlived) has(d time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Contains(o.last, d)
}

func uplink(t *testing.T, url, name string, s *Status) (*Uplink, *outlived) {
	t.Helper()
	o := &outlived{}
	u, err := NewUplink(UplinkConfig{Control: url, Key: key(t, name), Status: func() Status { return *s }, Outlive: o.set, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return u, o
}

// running runs f until the function that is returned is called.
func running(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNodeReports(t *testing.T) {
	p := newPlane(t)
	defer running(t, p.desk.Run)()
	var drains atomic.Bool
	u, _ := uplink(t, p.server.URL, "n", &Status{})
	u.cfg.Status = func() Status {
		return Status{URLs: []string{"turn:192.0.2.1"}, Allocations: 3, Draining: drains.Load()}
	}
	if !u.CutOff() {
		t.Error("the link is up before it was tried")
	}
	stop := running(t, u.Run)
	defer stop()
	p.wantState(t, Up)
	wait(t, func() bool { return !u.CutOff() })
	if st, state := p.desk.Status("n"); state != Up || st.Allocations != 3 || st.URLs[0] != "turn:192.0.2.1" {
		t.Errorf("%+v, %v", st, state)
	}
	wait(t, func() bool {
		p.desk.mu.Lock()
		defer p.desk.mu.Unlock()
		return p.desk.nodes["n"].held > 0
	})
	p.desk.Unreachable("n") // it holds a report: it lives
	drains.Store(true)
	u.Changed()
	p.wantState(t, Draining)
	stop()
	p.wantState(t, Away) // as the report that was held is broken off
}

// A node that was started again has lost its grants, whether or not its silence was noticed.
func TestNodeIsStartedAgain(t *testing.T) {
	p := newPlane(t) // nobody watches for silence here
	first, _ := uplink(t, p.server.URL, "n", &Status{})
	stop := running(t, first.Run)
	p.wantState(t, Up)
	stop()
	second, _ := uplink(t, p.server.URL, "n", &Status{})
	defer running(t, second.Run)()
	p.wantState(t, Away, Up)
}

func TestLeasesAndSettlements(t *testing.T) {
	p := newPlane(t)
	u, _ := uplink(t, p.server.URL, "n", &Status{})
	ctx := t.Context()
	if n, err := u.Lease(ctx, "mine", 600); n != 600 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := u.Lease(ctx, "another's", 1); n != 0 || !errors.Is(err, ErrUnknown) || errors.Is(err, grants.ErrSpent) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := u.Lease(ctx, "mine", 600); n != 400 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := u.Lease(ctx, "mine", 600); n != 0 || !errors.Is(err, grants.ErrSpent) {
		t.Errorf("%d, %v", n, err)
	}
	for _, id := range []string{"mine", "mine", "another's"} {
		if err := u.Settle(ctx, id, 100, 100, 50); err != nil {
			t.Error(err)
		}
	}
	// An answer that is lost does not make it count twice.
	p.mu.Lock()
	p.lose = func(r *http.Request) bool { return r.URL.Path == Prefix+"settle" }
	p.mu.Unlock()
	u.flush(ctx)
	if err := u.Settle(ctx, "mine", 1, 1, 0); err != nil {
		t.Error(err)
	}
	p.mu.Lock()
	p.lose = nil
	p.mu.Unlock()
	u.flush(ctx)
	if left, delivered, outstanding := p.get(); left != 100 || delivered != 201 || left+delivered+outstanding != 1000 {
		t.Errorf("left %d, delivered %d, outstanding %d", left, delivered, outstanding)
	}
}

func TestControlPlaneIsLostAndFound(t *testing.T) {
	p := newPlane(t)
	u, o := uplink(t, p.server.URL, "n", &Status{})
	defer running(t, u.Run)()
	wait(t, func() bool { return !u.CutOff() })
	p.mu.Lock()
	p.lose = func(*http.Request) bool { return true }
	p.mu.Unlock()
	p.server.CloseClientConnections()
	wait(t, u.CutOff)
	wait(t, func() bool { return o.has(defaultWindow) })
	p.mu.Lock()
	p.lose = nil
	p.mu.Unlock()
	wait(t, func() bool { return !u.CutOff() })
}

func TestAStrangersKeyEndsTheUplink(t *testing.T) {
	p := newPlane(t)
	u, _ := uplink(t, p.server.URL, "stranger", &Status{})
	if err := u.Run(t.Context()); !errors.Is(err, ErrDenied) {
		t.Errorf("%v", err)
	}
}
