package hub

import (
	"encoding/binary"

	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// frame is a hub message, or several, ready to be written: encoded, with its
// WebSocket header in front. Frames are immutable and shared by connections.
type frame struct {
	wire []byte // WebSocket header and payload
	head int    // length of the header
	// counted says that the message has an id in stateful reconnect.
	counted bool
}

// payload is the frame without WebSocket header.
func (f *frame) payload() []byte { return f.wire[f.head:] }

// maxHeader is the length of the longest header of a server's frame.
const maxHeader = 10

// newFrame encodes m.
func newFrame(p signalr.Protocol, m *signalr.Message) (*frame, error) {
	buf := make([]byte, maxHeader, maxHeader+messageSize(m))
	buf, err := p.Append(buf, m)
	if err != nil {
		return nil, err
	}
	op := ws.OpText
	if p.Binary() {
		op = ws.OpBinary
	}
	return seal(buf, op, m.Type.Counted()), nil
}

// rawFrame makes a frame of payload, which is copied.
func rawFrame(op ws.OpCode, payload []byte, counted bool) *frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload))
	return seal(append(buf, payload...), op, counted)
}

// seal puts the header of an unmasked final frame into the room before the payload.
func seal(buf []byte, op ws.OpCode, counted bool) *frame {
	n := len(buf) - maxHeader
	first := 0x80 | byte(op)
	switch {
	case n < 126:
		buf = buf[maxHeader-2:]
		buf[0], buf[1] = first, byte(n)
		return &frame{buf, 2, counted}
	case n < 1<<16:
		buf = buf[maxHeader-4:]
		buf[0], buf[1] = first, 126
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
		return &frame{buf, 4, counted}
	default:
		buf[0], buf[1] = first, 127
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
		return &frame{buf, maxHeader, counted}
	}
}

// messageSize guesses the encoded size of m.
func messageSize(m *signalr.Message) int {
	n := 96 + len(m.Target) + len(m.InvocationID) + len(m.Error) + len(m.Value)
	for _, a := range m.Arguments {
		n += len(a) + 8
	}
	return n
}

// outbox is the queue of frames that a connection has not taken yet. Its fields
// belong to conn.mu.
type outbox struct {
	queue []*frame
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

func (o *outbox) push(f *frame) {
	o.queue = append(o.queue, f)
	o.bytes += len(f.wire)
}

// take moves frames of up to about maxBytes into dst. If it returns 0 the caller
// owns the writes no longer, unless finish says to end the transport.
func (o *outbox) take(dst []*frame, maxBytes int) (n int, finish bool) {
	o.bytes -= o.taken
	o.taken = 0
	for n < len(dst) && n < len(o.queue) && (n == 0 || o.taken+len(o.queue[n].wire) <= maxBytes) {
		dst[n] = o.queue[n]
		o.taken += len(dst[n].wire)
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
