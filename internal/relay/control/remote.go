package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Remote is a node as a control plane with a memory has it: renewals and deletions are collected, and
// sent many at a time. It is safe for concurrent use; Run sends.
type Remote struct {
	*Client
	log   *slog.Logger
	calls *prometheus.CounterVec
	wake  chan struct{}

	mu      sync.Mutex
	renew   map[string]renewal
	del     map[string]struct{}
	moved   map[memberKey]netip.Addr
	unknown map[string]struct{} // what the node says is gone
}

type memberKey struct{ session, member string }

type renewal struct {
	until time.Time
	ice   []ICE
}

const (
	maxWaiting = 1 << 16
	retryAfter = 500 * time.Millisecond
)

// NewRemote wraps c. calls counts by result, for all Remotes; NewCalls makes it.
func NewRemote(c *Client, calls *prometheus.CounterVec, log *slog.Logger) *Remote {
	return &Remote{Client: c, calls: calls, log: log, wake: make(chan struct{}, 1),
		renew: map[string]renewal{}, del: map[string]struct{}{}, moved: map[memberKey]netip.Addr{}, unknown: map[string]struct{}{}}
}

// NewCalls is the metric of calls to nodes.
func NewCalls() *prometheus.CounterVec {
	return requestCounter("causeway_node_calls_total", "Calls to relay nodes, by what came of them.")
}

// Put makes a grant.
func (r *Remote) Put(ctx context.Context, id string, g Grant) (Placed, error) {
	p, err := r.Client.Put(ctx, id, g)
	r.calls.WithLabelValues(resultOf(err)).Inc()
	return p, err
}

// Renew says until when a grant is to live. It does not wait; ErrUnknown is what the node said to the last one.
func (r *Remote) Renew(id string, until time.Time, ice []ICE) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.unknown[id]; ok {
		delete(r.unknown, id)
		return fmt.Errorf("renew grant at node %s: %w", r.key.name, ErrUnknown)
	}
	if len(r.renew) < maxWaiting {
		r.renew[id] = renewal{until, ice}
		r.nudge()
	}
	return nil
}

// Delete ends a grant. It does not wait, and is tried until the node is forgotten.
func (r *Remote) Delete(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.renew, id)
	delete(r.unknown, id)
	if len(r.del) >= maxWaiting {
		return fmt.Errorf("delete grant at node %s: too many wait", r.key.name)
	}
	r.del[id] = struct{}{}
	r.nudge()
	return nil
}

// Moved says where a member signals from now. It does not wait; a node that can't be told hears it with the next grant.
func (r *Remote) Moved(session, member string, addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.moved) < maxWaiting {
		r.moved[memberKey{session, member}] = addr
		r.nudge()
	}
}

// Forget drops what waits: the node has lost its grants.
func (r *Remote) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.renew)
	clear(r.del)
	clear(r.moved)
	clear(r.unknown)
}

func (r *Remote) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run sends what waits, until ctx ends, and deletions once more then.
func (r *Remote) Run(ctx context.Context) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			if c := r.take(); len(c.Delete) > 0 {
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryAfter)
				defer cancel()
				_, _ = r.Change(last, Changes{Delete: c.Delete}) // else they end by themselves
			}
			return nil
		case <-r.wake:
		}
		for c := r.take(); len(c.Renew)+len(c.Delete)+len(c.Moved) > 0 && ctx.Err() == nil; c = r.take() {
			err := r.send(ctx, c)
			failed := failing
			if failing = err != nil; failing {
				r.again(c.Delete)
				if ctx.Err() == nil && !failed { // once
					r.log.WarnContext(ctx, "a relay node was not told of changes", "node", r.key.name, "err", err)
				}
				pause(ctx, retryAfter)
			}
		}
	}
}

// take returns what waits, as much as fits into a request.
func (r *Remote) take() (c Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, size := time.Now(), 0
	for id, one := range r.renew {
		if len(c.Renew) == maxChanges || size > maxBulk/2 {
			break
		}
		delete(r.renew, id)
		size += 64 + len(id)
		for _, a := range one.ice {
			size += 32 + len(a.Ufrag) + len(a.Pwd)
		}
		c.Renew = append(c.Renew, Renewal{ID: id, Live: int64(max(1, one.until.Sub(now)/time.Millisecond)), ICE: one.ice})
	}
	for id := range r.del {
		if len(c.Delete) == maxChanges {
			break
		}
		delete(r.del, id)
		c.Delete = append(c.Delete, id)
	}
	for of, addr := range r.moved {
		if len(c.Moved) == maxChanges || size > maxBulk*3/4 {
			break
		}
		delete(r.moved, of)
		size += 96 + len(of.session) + len(of.member)
		c.Moved = append(c.Moved, Move{of.session, of.member, addr})
	}
	return c
}

func (r *Remote) again(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if len(r.del) < maxWaiting {
			r.del[id] = struct{}{}
		}
	}
}

func (r *Remote) send(ctx context.Context, c Changes) error {
	gone, err := r.Change(ctx, c)
	r.calls.WithLabelValues(resultOf(err)).Inc()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := make(map[string]struct{}, len(c.Renew))
	for _, one := range c.Renew {
		asked[one.ID] = struct{}{}
	}
	for _, id := range gone {
		if _, ok := asked[id]; ok && len(r.unknown) < maxWaiting {
			r.unknown[id] = struct{}{}
		}
	}
	return nil
}

// Waiting is how many changes the node has not been told of.
func (r *Remote) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.renew) + len(r.del) + len(r.moved)
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Transport tells whether err is that of a node that can't be reached, and not its answer.
func Transport(err error) bool {
	return err != nil && !errors.As(err, new(*refused)) && !errors.Is(err, context.Canceled)
}
