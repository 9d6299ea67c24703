package hub

import (
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// resume is what a connection with stateful reconnect remembers. Messages of
// counted types have ids, from 1 on, in each direction; both sides keep what the
// other has not acknowledged, and replay it over a new transport. Its fields
// belong to conn.mu.
type resume struct {
	// To the client.
	sent   uint64         // id of the last message
	unsure []*frame.Frame // not acknowledged; the last one has id sent
	bytes  int            // of unsure
	// From the client.
	seen     uint64 // id of the last message, replays included
	done     uint64 // highest id that was processed
	acked    uint64 // highest id that was acknowledged
	awaiting bool   // discard everything until a Sequence says where the replay begins
}

// keep remembers f as the next message. It says no if that is too much.
func (r *resume) keep(f *frame.Frame, limit int) bool {
	r.sent++
	r.unsure = append(r.unsure, f)
	r.bytes += len(f.Wire)
	return r.bytes <= limit
}

// detach prepares for the client's return. The last Ack may be lost with the
// transport, and a client whose buffer is full sends nothing new before it has
// one, so all is acknowledged again.
func (r *resume) detach() { r.awaiting, r.acked = true, 0 }

// acknowledge forgets what the client has processed.
func (r *resume) acknowledge(id uint64) {
	first := r.sent - uint64(len(r.unsure)) + 1
	for len(r.unsure) > 0 && first <= id {
		r.bytes -= len(r.unsure[0].Wire)
		r.unsure[0] = nil
		r.unsure = r.unsure[1:]
		first++
	}
}

// replay returns what goes over a new transport first: the id of the first
// message that follows, and the messages.
func (r *resume) replay(p signalr.Protocol) ([]*frame.Frame, error) {
	m := signalr.Message{Type: signalr.Sequence, SequenceID: r.sent - uint64(len(r.unsure)) + 1}
	f, err := frame.New(p, &m)
	if err != nil {
		return nil, err
	}
	return append([]*frame.Frame{f}, r.unsure...), nil
}

// inSequence counts a message of the client, and says whether to process it.
// Without stateful reconnect it says yes.
func (c *conn) inSequence(body []byte) (pass bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.resume
	if r == nil {
		return true, nil
	}
	h, err := c.protocol.Head(body)
	if err != nil {
		return false, err
	}
	switch {
	case h.Type == signalr.Sequence:
		m, err := c.protocol.Decode(body)
		if err != nil {
			return false, err
		}
		if m.SequenceID == 0 || m.SequenceID > r.done+1 {
			return false, closeError{ReasonSequence}
		}
		r.seen, r.awaiting = m.SequenceID-1, false
		return false, nil
	case h.Type == signalr.Close:
		return true, nil
	case r.awaiting:
		return false, nil
	case h.Type == signalr.Ack:
		m, err := c.protocol.Decode(body)
		if err != nil {
			return false, err
		}
		r.acknowledge(m.SequenceID)
		return false, nil
	case h.Type.Counted():
		if r.seen++; r.seen <= r.done {
			return false, nil // processed before the transport broke
		}
		r.done = r.seen
	}
	return true, nil
}

// acknowledgment returns the Ack that is due, if one is.
func (c *conn) acknowledgment() *frame.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.resume
	if r == nil || c.link == nil || r.done == r.acked {
		return nil
	}
	r.acked = r.done
	f, err := frame.New(c.protocol, &signalr.Message{Type: signalr.Ack, SequenceID: r.done})
	if err != nil {
		return nil
	}
	return f
}
