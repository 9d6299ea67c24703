package hub

import (
	"runtime/debug"
	"sync/atomic"
)

// sweep does for every connection what time demands. It runs once a second on
// Run's goroutine.
func (h *Hub) sweep() {
	now := h.now()
	h.burst.swept = h.snapshot(h.burst.swept)
	for _, c := range h.burst.swept {
		c.sweep(now)
	}
	clear(h.burst.swept)
	h.expireUserGroups()
	h.burst.trim(now)
}

// burst watches for many connections that come at once, and gives back to the
// operating system what serving them has left behind: stacks, and garbage, of
// which the runtime would otherwise keep about as much as is alive.
type burst struct {
	opened, last atomic.Uint32
	swept        []*conn // the sweep's memory: garbage every second would be kept, too
}

const (
	burstSize  = 1000 // connections
	burstQuiet = 10   // seconds without new ones
)

func (b *burst) count(now uint32) {
	b.opened.Add(1)
	b.last.Store(now)
}

func (b *burst) trim(now uint32) {
	if b.opened.Load() >= burstSize && now-b.last.Load() >= burstQuiet {
		b.opened.Store(0)
		b.swept = nil
		debug.FreeOSMemory()
	}
}

func (c *conn) sweep(now uint32) {
	t := &c.hub.cfg.Timing
	c.mu.Lock()
	st, tr, linked := c.state, c.transport, c.link != nil
	c.mu.Unlock()
	if d := c.clock.deadline.Load(); d != 0 && now >= d {
		c.late(st, tr, linked)
		return
	}
	if st != open {
		return
	}
	if c.stalled(now) {
		c.close(ReasonSlowClient, "")
		c.cut()
		return
	}
	if c.clock.expires != 0 && now >= c.clock.expires {
		c.close(ReasonExpired, "")
		return
	}
	if !linked || tr == longPolling {
		return
	}
	if c.clock.pinged.Load() && !c.clock.blocked.Load() && now-c.clock.in.Load() > seconds(t.ClientTimeout) {
		c.close(ReasonTimeout, "")
		return
	}
	if f := c.acknowledgment(); f != nil {
		c.send(f, nil)
	}
	if now-c.clock.out.Load() >= seconds(t.KeepAlive) {
		c.send(c.hub.fixed.ping[c.protocol], nil)
	}
}

// stalled says whether the client has not taken what is being written for too long.
func (c *conn) stalled(now uint32) bool {
	c.mu.Lock()
	l, ok := c.link.(*wsLink)
	c.mu.Unlock()
	if !ok {
		return false
	}
	since := l.stalled.Load()
	return since != 0 && now-since > seconds(c.hub.cfg.Timing.Write)
}

// late ends a connection whose state has lasted too long.
func (c *conn) late(st state, tr transport, linked bool) {
	switch st {
	case negotiated:
		c.close(ReasonNeverCame, "")
	case handshaking:
		c.close(ReasonHandshakeTimeout, "")
	case open:
		if tr == longPolling {
			c.close(ReasonTimeout, "") // the client polls no more
		} else if !linked {
			c.close(ReasonDropped, "") // and did not come back
		}
	default:
		c.cut()
	}
}

// cut ends the transport at once.
func (c *conn) cut() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.abort()
	} else {
		c.release()
	}
}
