package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// Hub is the realtime service of this process. It holds connections while Run runs.
type Hub struct {
	cfg     Config
	metrics *metrics
	fixed   fixedFrames

	mu     sync.Mutex
	spaces map[string]*space // by lower-case name; made when first used
	conns  map[string]*conn  // all connections, by token
	addrs  map[netip.Addr]int
	closed bool          // to new connections: before and after Run
	empty  chan struct{} // closed in the drain when no connection is left
	ready  chan struct{} // closed when connections are welcome

	tick        atomic.Uint32 // seconds since Run began, plus 1
	burst       burst
	invocations *invocations

	crew    crew
	cluster *cluster // nil without broker
}

// crew is the hub's goroutines.
type crew struct {
	mu       sync.RWMutex // of phase, while goroutines are added
	phase    phase
	goes     sync.WaitGroup // every goroutine that the hub has started
	work     chan *conn     // to a worker that has nothing to do
	idle     atomic.Int32   // workers that have nothing to do
	stopped  chan struct{}  // closed when workers shall end
	handling context.Context
	loops    loops
}

type phase uint8

const (
	idle    phase = iota // before Run
	running              // to the end of the drain
	stopped
)

// fixedFrames are frames that never change, by protocol.
type fixedFrames struct{ welcome, ping [2]*frame.Frame }

// New makes a Hub; Run sets it to work.
func New(cfg Config) (*Hub, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	h := &Hub{
		cfg: cfg, metrics: m,
		spaces: map[string]*space{}, conns: map[string]*conn{}, addrs: map[netip.Addr]int{},
		closed: true, empty: make(chan struct{}), ready: make(chan struct{}),
		crew:        crew{work: make(chan *conn), stopped: make(chan struct{})},
		invocations: newInvocations(cfg.Limits.Invocations),
	}
	h.tick.Store(1)
	for _, p := range signalr.Protocols() {
		h.fixed.welcome[p] = frame.Hub(p, signalr.AppendHandshakeReply(nil, ""), false)
		if h.fixed.ping[p], err = frame.New(p, &signalr.Message{Type: signalr.Ping}); err != nil {
			return nil, fmt.Errorf("hub: %w", err)
		}
	}
	if cfg.Broker != nil {
		h.cluster = &cluster{hub: h, node: cfg.Node, broker: cfg.Broker}
	}
	return h, nil
}

// Run holds connections until ctx ends, then closes them all, telling clients to
// reconnect (to another node, or to the next process), and returns when handlers
// have heard of it and every goroutine has ended, or Timing.Drain has passed and
// connections were cut. A Hub runs once.
func (h *Hub) Run(ctx context.Context) error {
	h.crew.mu.Lock()
	if h.crew.phase != idle {
		h.crew.mu.Unlock()
		return errors.New("hub: runs only once")
	}
	handling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	h.crew.handling = handling
	h.crew.phase = running
	h.crew.mu.Unlock()
	leave, err := h.cluster.join(handling)
	if err != nil {
		err = fmt.Errorf("hub: join cluster: %w", err)
	} else {
		h.mu.Lock()
		h.closed = false
		h.mu.Unlock()
		close(h.ready)
		h.sweepUntil(ctx.Done())
	}
	h.drain()
	leave()
	h.crew.mu.Lock()
	h.crew.phase = stopped
	h.crew.mu.Unlock()
	close(h.crew.stopped)
	h.crew.loops.close()
	finished := make(chan struct{})
	go func() { h.crew.goes.Wait(); close(finished) }() // ends with the goroutines, for which Run waits
	grace := time.NewTimer(h.cfg.Timing.Drain)
	defer grace.Stop()
	select {
	case <-finished:
	case <-grace.C: // handlers still work: take their context away
		cancel()
		<-finished
	}
	return err
}

// Ready is closed when Run is ready for connections, which are refused before.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// sweepUntil looks after all connections once a second.
func (h *Hub) sweepUntil(done <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			h.tick.Add(1)
			h.sweep()
		}
	}
}

// drain closes all connections and waits until they have ended.
func (h *Hub) drain() {
	h.mu.Lock()
	h.closed = true
	if len(h.conns) == 0 {
		close(h.empty)
	}
	h.mu.Unlock()
	for _, c := range h.snapshot(nil) {
		c.close(ReasonDraining, "")
	}
	late := time.NewTimer(h.cfg.Timing.Drain)
	defer late.Stop()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-h.empty:
			return
		case <-t.C:
			h.tick.Add(1)
			h.sweep()
		case <-late.C:
			for _, c := range h.snapshot(nil) {
				c.cut()
			}
			<-h.empty // links end at once when they are cut
			return
		}
	}
}

// snapshot lists all connections, in the memory of all.
func (h *Hub) snapshot(all []*conn) []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = slices.Grow(all[:0], len(h.conns))
	for _, c := range h.conns {
		all = append(all, c)
	}
	return all
}

// spawn starts a goroutine that Run waits for. It says no before Run and after.
func (h *Hub) spawn(f func()) bool {
	h.crew.mu.RLock()
	defer h.crew.mu.RUnlock()
	if h.crew.phase != running {
		return false
	}
	h.crew.goes.Go(f)
	return true
}

// context is the context of handlers. It outlives Run's, so that they hear of
// disconnects.
func (h *Hub) context() context.Context {
	h.crew.mu.RLock()
	defer h.crew.mu.RUnlock()
	return h.crew.handling
}

// now is the hub's clock, in ticks of a second; it is never 0.
func (h *Hub) now() uint32 { return h.tick.Load() }

// after is the tick at which d, counted from now, has certainly passed.
func (h *Hub) after(d time.Duration) uint32 { return h.now() + seconds(d) + 1 }

func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

// space finds or makes a named hub; nil if it has no handler.
func (h *Hub) space(name string) *space {
	name = strings.ToLower(name)
	h.mu.Lock()
	s := h.spaces[name]
	h.mu.Unlock()
	if s != nil {
		return s
	}
	handler := h.cfg.Handlers[name]
	if handler == nil && h.cfg.Fallback != nil && realtime.IsHubName(name) {
		handler = h.cfg.Fallback(name)
	}
	if handler == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s = h.spaces[name]; s == nil {
		s = newSpace(h, name, handler)
		h.spaces[name] = s
	}
	return s
}

// allSpaces lists the named hubs that have been used.
func (h *Hub) allSpaces() []*space {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.spaces))
}

// Service returns the data plane of a named hub. Of a hub without handler
// connections can't exist, but sends and closes succeed, as to nobody.
func (h *Hub) Service(hubName string) realtime.Service {
	s := h.space(hubName)
	if s == nil {
		s = newSpace(h, strings.ToLower(hubName), nil)
	}
	return &Service{space: s}
}

// forget ends what release began.
func (h *Hub) forget(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[c.token] != c {
		return
	}
	delete(h.conns, c.token)
	if h.addrs[c.addr]--; h.addrs[c.addr] <= 0 {
		delete(h.addrs, c.addr)
	}
	h.metrics.connections.Dec()
	if h.closed && len(h.conns) == 0 {
		close(h.empty)
	}
}
