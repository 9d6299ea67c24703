// Package replay is the bookkeeping of stateful reconnect (§2.7): what a
// connection remembers so that it survives its transport. Messages of counted
// types have ids, from 1 on, in each direction; both sides keep what the other has
// not acknowledged, and replay it over a new transport.
package replay

import (
	"errors"

	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

// ErrSequence says that the client has lost count.
var ErrSequence = errors.New("the sequence of messages is broken")

// Log is the memory of one connection. It belongs to one goroutine at a time.
type Log struct {
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

// Keep remembers f as the next message to the client. It says no if more than
// limit bytes are not acknowledged then.
func (l *Log) Keep(f *frame.Frame, limit int) bool {
	l.sent++
	l.unsure = append(l.unsure, f)
	l.bytes += len(f.Wire)
	return l.bytes <= limit
}

// Detach prepares for the client's return. The last Ack may be lost with the
// transport, and a client whose buffer is full sends nothing new before it has
// one, so all is acknowledged again.
func (l *Log) Detach() { l.awaiting, l.acked = true, 0 }

// acknowledge forgets what the client has processed.
func (l *Log) acknowledge(id uint64) {
	first := l.sent - uint64(len(l.unsure)) + 1
	for len(l.unsure) > 0 && first <= id {
		l.bytes -= len(l.unsure[0].Wire)
		l.unsure[0] = nil
		l.unsure = l.unsure[1:]
		first++
	}
}

// Replay returns what goes over a new transport first: the id of the first
// message that follows, and the messages.
func (l *Log) Replay(p signalr.Protocol) ([]*frame.Frame, error) {
	m := signalr.Message{Type: signalr.Sequence, SequenceID: l.sent - uint64(len(l.unsure)) + 1}
	f, err := frame.New(p, &m)
	if err != nil {
		return nil, err
	}
	return append([]*frame.Frame{f}, l.unsure...), nil
}

// Received counts the body of a client's message, and says whether to process it.
func (l *Log) Received(p signalr.Protocol, body []byte) (process bool, err error) {
	h, err := p.Head(body)
	if err != nil {
		return false, err
	}
	switch {
	case h.Type == signalr.Sequence:
		m, err := p.Decode(body)
		if err != nil {
			return false, err
		}
		if m.SequenceID == 0 || m.SequenceID > l.done+1 {
			return false, ErrSequence
		}
		l.seen, l.awaiting = m.SequenceID-1, false
		return false, nil
	case h.Type == signalr.Close:
		return true, nil
	case l.awaiting:
		return false, nil
	case h.Type == signalr.Ack:
		m, err := p.Decode(body)
		if err != nil {
			return false, err
		}
		l.acknowledge(m.SequenceID)
		return false, nil
	case h.Type.Counted():
		if l.seen++; l.seen <= l.done {
			return false, nil // processed before the transport broke
		}
		l.done = l.seen
	}
	return true, nil
}

// Acknowledgment returns the Ack that is due; nil if none is.
func (l *Log) Acknowledgment(p signalr.Protocol) *frame.Frame {
	if l.done == l.acked {
		return nil
	}
	l.acked = l.done
	f, err := frame.New(p, &signalr.Message{Type: signalr.Ack, SequenceID: l.done})
	if err != nil {
		return nil // not of this type
	}
	return f
}
