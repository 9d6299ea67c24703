package hub

import (
	"context"
	"sync"

	"causeway/internal/realtime"
)

// A handler that is realtime.Prompt runs on the goroutine that reads: a message
// then wakes no other, and is not copied. What it sends to single connections
// while it handles what one read has brought is corked: queued, and written when
// all is handled, so that messages that came together go on together.
//
// With a broker handlers are never called this way, as the Service may then wait.

// Bounds of what is corked: events handled, connections to be written to, and what
// waits for one of them.
const (
	corkEvents   = 16
	corkConns    = 32
	corkMessages = 16
	corkBytes    = batchSize / 2
)

// cork is the context of a prompt handler's calls. It belongs to the goroutine
// that feeds, from begin to end.
type cork struct {
	context.Context
	events int
	conns  []*conn
}

type corkKey struct{}

// Value finds the cork itself.
func (k *cork) Value(key any) any {
	if key == (corkKey{}) {
		return k
	}
	return k.Context.Value(key)
}

var corkPool = sync.Pool{New: func() any { return new(cork) }}

// cork returns what belongs to one read of c's client; nil if its handler is not
// prompt.
func (c *conn) cork() *cork {
	if !c.space.prompt {
		return nil
	}
	k := corkPool.Get().(*cork)
	k.Context = c.hub.context()
	return k
}

// end writes what is corked. k may be nil, and is not used after it.
func (k *cork) end() {
	if k == nil {
		return
	}
	k.flush()
	k.Context = nil
	corkPool.Put(k)
}

// corkOf returns the cork for sends to that are made with ctx; nil if there is none.
func corkOf(ctx context.Context, to realtime.Recipient) *cork {
	if to.Kind != realtime.KindConnection {
		return nil
	}
	if k, ok := ctx.(*cork); ok {
		return k
	}
	k, _ := ctx.Value(corkKey{}).(*cork)
	return k
}

// add remembers to write to c.
func (k *cork) add(c *conn) {
	for _, o := range k.conns {
		if o == c {
			return
		}
	}
	if k.conns = append(k.conns, c); len(k.conns) >= corkConns {
		k.flush()
	}
}

func (k *cork) flush() {
	for _, c := range k.conns {
		c.kick()
	}
	clear(k.conns)
	k.conns, k.events = k.conns[:0], 0
}

// prompt calls a prompt handler for ev, here and now, if no event of c is before
// it and c is open; else it says no.
func (c *conn) prompt(k *cork, ev event) bool {
	c.mu.Lock()
	if c.in.running || c.state != open {
		c.mu.Unlock()
		return false
	}
	c.in.running = true // what comes meanwhile is queued behind ev
	if ev.kind == evConnected {
		c.in.told = true
	}
	c.mu.Unlock()
	c.handle(k, ev)
	c.mu.Lock()
	more := len(c.in.queue) > 0 // the disconnect
	c.in.running = more
	c.mu.Unlock()
	if more {
		c.hub.dispatch(c)
	}
	if k.events++; k.events >= corkEvents {
		k.flush()
	}
	return true
}
