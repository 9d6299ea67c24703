package hub

import "causeway/internal/realtime/hub/frame"

// outbox is the queue of frames that a connection has not taken yet. Its fields
// belong to conn.mu.
type outbox struct {
	queue []*frame.Frame
	bytes int // of queue, and of what is being written
	taken int // bytes that are being written
	// writing says that somebody owns the writes: whoever sets it calls take until
	// it returns nothing.
	writing bool
	// finish says that the transport ends when the queue is empty.
	finish bool
}

// keepQueue is the capacity of a queue that an idle connection may keep.
const keepQueue = 4

func (o *outbox) push(f *frame.Frame) {
	o.queue = append(o.queue, f)
	o.bytes += len(f.Wire)
}

// take moves frames of up to about maxBytes into dst. If it returns 0 the caller
// owns the writes no longer, unless finish says to end the transport.
func (o *outbox) take(dst []*frame.Frame, maxBytes int) (n int, finish bool) {
	o.bytes -= o.taken
	o.taken = 0
	for n < len(dst) && n < len(o.queue) && (n == 0 || o.taken+len(o.queue[n].Wire) <= maxBytes) {
		dst[n] = o.queue[n]
		o.taken += len(dst[n].Wire)
		n++
	}
	if n == 0 {
		o.writing = o.finish
		return 0, o.finish
	}
	if n < len(o.queue) {
		o.queue = o.queue[n:]
		return n, false
	}
	if clear(o.queue); cap(o.queue) > keepQueue {
		o.queue = nil
	}
	o.queue = o.queue[:0]
	return n, false
}

// drop forgets all frames.
func (o *outbox) drop() { o.queue, o.bytes, o.taken = nil, 0, 0 }
