//go:build linux

package load

import (
	"encoding/binary"
	"fmt"
)

// Plain speaks the frames of the bare yardsticks: length (4 bytes, of what
// follows), destination (4 bytes), body. A connection begins by naming itself in
// a frame without body, and gets it back. The destination All is everybody.
type Plain struct {
	// Overhead is added to the body, so that frames are as long as the hub's.
	Overhead int
}

// All is the destination that is every connection.
const All = 0xFFFF_FFFF

// Setup implements Dialect.
func (d *Plain) Setup(l *Loop, c *Conn, in []byte) (int, error) {
	if c.step == 0 {
		l.write(c, binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, uint32(c.Index)))
		c.step = 1
		return 0, nil
	}
	if len(in) < 8 {
		return 0, nil
	}
	l.opened(c)
	return 8, nil
}

// Next implements Dialect.
func (d *Plain) Next(_ *Conn, in []byte) (message []byte, size int, reply []byte, err error) {
	if len(in) < 4 {
		return nil, 0, nil, nil
	}
	n := int(binary.BigEndian.Uint32(in))
	if n < 4 || n > 1<<17 {
		return nil, 0, nil, fmt.Errorf("%w: a frame of %d bytes", errStatus, n)
	}
	if len(in) < 4+n {
		return nil, 0, nil, nil
	}
	return in[8 : 4+n], 4 + n, nil, nil
}

// Append implements Dialect.
func (d *Plain) Append(dst []byte, _ *Conn, kind Kind, to *Conn, payload []byte) []byte {
	address := uint32(to.Index)
	if kind == Broadcast {
		address = All
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(payload)+d.Overhead))
	dst = binary.BigEndian.AppendUint32(dst, address)
	dst = append(dst, payload...)
	for range d.Overhead {
		dst = append(dst, '.')
	}
	return dst
}

// KeepAlive implements Dialect.
func (d *Plain) KeepAlive() []byte { return nil }

// Overhead is how many bytes a send to a hub has more than one with Plain and no
// overhead.
func Overhead() int {
	c := &Conn{ID: "0123456789abcdefghijkl"}
	p := newPayload(payloadLike)
	return len((&SignalR{}).Append(nil, c, Send, c, p)) - len((&Plain{}).Append(nil, c, Send, c, p))
}

// payloadLike is a length of payload whose frames have headers as those of real ones.
const payloadLike = 1024
