// Package membus is a hub.Broker for hubs in one process: for tests, and as the
// reference of what a Broker promises. Messages are delivered by the caller's
// goroutine, so there is no queue and nothing is lost; receivers must not call
// back while they hold locks, which a hub does not.
package membus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"causeway/internal/realtime/hub"
)

// Bus joins hubs.
type Bus struct {
	mu    sync.RWMutex
	nodes map[string]hub.Receive
}

// New makes a Bus without nodes.
func New() *Bus { return &Bus{nodes: map[string]hub.Receive{}} }

// Join implements hub.Broker.
func (b *Bus) Join(_ context.Context, node string, receive hub.Receive) (leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nodes[node] != nil {
		return nil, fmt.Errorf("node %q is there already", node)
	}
	b.nodes[node] = receive
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.nodes, node)
	}, nil
}

// to finds one node, or, for an empty name, all but from.
func (b *Bus) to(from, to string) (found []hub.Receive, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.nodes[from] == nil {
		return nil, errors.New("not joined")
	}
	if to != "" {
		if b.nodes[to] == nil {
			return nil, hub.ErrNoNode
		}
		return []hub.Receive{b.nodes[to]}, nil
	}
	for name, receive := range b.nodes {
		if name != from {
			found = append(found, receive)
		}
	}
	return found, nil
}

// Tell implements hub.Broker.
func (b *Bus) Tell(ctx context.Context, from, to string, message []byte) error {
	nodes, err := b.to(from, to)
	for _, receive := range nodes {
		receive(ctx, message)
	}
	return err
}

// Ask implements hub.Broker.
func (b *Bus) Ask(ctx context.Context, from, to string, message []byte) (replies [][]byte, err error) {
	nodes, err := b.to(from, to)
	for _, receive := range nodes {
		replies = append(replies, receive(ctx, message))
	}
	return replies, err
}
