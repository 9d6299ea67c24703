package hub

// sweep does for every connection what time demands. It runs once a second on
// Run's goroutine.
func (h *Hub) sweep() {
	now := h.now()
	for _, c := range h.snapshot() {
		c.sweep(now)
	}
	h.forgetMemberships()
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
		c.send(f)
	}
	if now-c.clock.out.Load() >= seconds(t.KeepAlive) {
		c.send(c.hub.fixed.ping[c.protocol])
	}
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
