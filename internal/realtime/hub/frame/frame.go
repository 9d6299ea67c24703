// Package frame is the framing of WebSockets (RFC 6455 §5) as a server needs it
// that writes the same message to many clients: a message is encoded once,
// together with its frame header (a server's frames are not masked), and the
// bytes are shared. Reading is done in place, in whatever pieces bytes come.
package frame

import (
	"encoding/binary"

	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// Frame is a message, ready to be written. Frames are immutable.
type Frame struct {
	// Wire is the WebSocket frame: header and payload.
	Wire []byte
	head int // length of the header
	// Counted says that the message has an id in stateful reconnect.
	Counted bool
}

// Payload is the frame without its header.
func (f *Frame) Payload() []byte { return f.Wire[f.head:] }

// maxHeader is the length of the longest header of a server's frame.
const maxHeader = 10

// New encodes a hub message.
func New(p signalr.Protocol, m *signalr.Message) (*Frame, error) {
	buf := make([]byte, maxHeader, maxHeader+size(m))
	buf, err := p.Append(buf, m)
	if err != nil {
		return nil, err
	}
	return seal(buf, opCode(p), m.Type.Counted()), nil
}

// Hub makes a frame of a hub message that is framed already, which is copied.
func Hub(p signalr.Protocol, framed []byte, counted bool) *Frame {
	return Raw(opCode(p), framed, counted)
}

// Raw makes a frame of payload, which is copied.
func Raw(op ws.OpCode, payload []byte, counted bool) *Frame {
	buf := make([]byte, maxHeader, maxHeader+len(payload))
	return seal(append(buf, payload...), op, counted)
}

func opCode(p signalr.Protocol) ws.OpCode {
	if p.Binary() {
		return ws.OpBinary
	}
	return ws.OpText
}

// seal puts the header of a final frame into the room before the payload.
func seal(buf []byte, op ws.OpCode, counted bool) *Frame {
	n := len(buf) - maxHeader
	first := 0x80 | byte(op)
	switch {
	case n < 126:
		buf = buf[maxHeader-2:]
		buf[0], buf[1] = first, byte(n)
		return &Frame{buf, 2, counted}
	case n < 1<<16:
		buf = buf[maxHeader-4:]
		buf[0], buf[1] = first, 126
		binary.BigEndian.PutUint16(buf[2:], uint16(n))
		return &Frame{buf, 4, counted}
	default:
		buf[0], buf[1] = first, 127
		binary.BigEndian.PutUint64(buf[2:], uint64(n))
		return &Frame{buf, maxHeader, counted}
	}
}

// size guesses the encoded size of m.
func size(m *signalr.Message) int {
	n := 96 + len(m.Target) + len(m.InvocationID) + len(m.Error) + len(m.Value)
	for _, a := range m.Arguments {
		n += len(a) + 8
	}
	return n
}

// Acceptable checks what RFC 6455 demands of a client's frame, inside of a
// fragmented message or not.
func Acceptable(h ws.Header, fragmented bool) bool {
	if !h.Masked || h.Rsv != 0 {
		return false
	}
	switch h.OpCode {
	case ws.OpText, ws.OpBinary:
		return !fragmented
	case ws.OpContinuation:
		return fragmented
	case ws.OpClose, ws.OpPing, ws.OpPong:
		return h.Fin && h.Length <= ws.MaxControlFramePayloadSize
	}
	return false
}

// ParseHeader reads a frame header; size is 0 if b ends before the header does.
func ParseHeader(b []byte) (h ws.Header, size int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.Fin, h.Rsv, h.OpCode = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0x0F)
	h.Masked = b[1]&0x80 != 0
	length := 2
	switch n := b[1] & 0x7F; n {
	case 126:
		length += 2
	case 127:
		length += 8
	default:
		h.Length = int64(n)
	}
	size = length
	if h.Masked {
		size += 4
	}
	if len(b) < size {
		return h, 0, nil
	}
	switch length {
	case 4:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		n := binary.BigEndian.Uint64(b[2:])
		if n>>63 != 0 {
			return h, 0, ws.ErrHeaderLengthMSB
		}
		h.Length = int64(n)
	}
	if h.Masked {
		copy(h.Mask[:], b[length:])
	}
	return h, size, nil
}

// CloseCode reads the payload of a Close frame; without one the code is 1005.
func CloseCode(payload []byte) ws.StatusCode {
	if len(payload) < 2 {
		return ws.StatusNoStatusRcvd
	}
	return ws.StatusCode(binary.BigEndian.Uint16(payload))
}
