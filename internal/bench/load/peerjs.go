//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"
)

// PeerJS speaks to a PeerJS server. It knows only Send, as an offer, which the
// server passes on to the peer that it names.
type PeerJS struct {
	Host string
}

// Setup implements Dialect.
func (d *PeerJS) Setup(l *Loop, c *Conn, in []byte) (int, error) {
	switch c.step {
	case 0:
		c.ID = "peer-0000-0000-" + strconv.Itoa(100_000+c.Index)
		l.write(c, upgrade(nil, "/peerjs?key=peerjs&id="+c.ID+"&token=t"+c.ID+"&version=1.5.4", d.Host, ""))
		c.step = 1
	case 1:
		size, err := upgraded(in)
		if err != nil || size == 0 {
			return 0, err
		}
		c.step = 2
		return size, nil
	case 2:
		message, size, _, err := frame(in)
		if err != nil || size == 0 {
			return 0, err
		}
		if !bytes.Contains(message, []byte(`"OPEN"`)) {
			return 0, fmt.Errorf("%w: %.100s", errStatus, message)
		}
		l.opened(c)
		return size, nil
	}
	return 0, nil
}

// Next implements Dialect.
func (d *PeerJS) Next(_ *Conn, in []byte) (message []byte, size int, reply []byte, err error) {
	message, size, reply, err = frame(in)
	if bytes.HasPrefix(message, []byte(`{"type":"EXPIRE"`)) || bytes.HasPrefix(message, []byte(`{"type":"LEAVE"`)) {
		return nil, 0, nil, errors.New("the server could not deliver a message")
	}
	return message, size, reply, err
}

// Append implements Dialect.
func (d *PeerJS) Append(dst []byte, _ *Conn, _ Kind, to *Conn, payload []byte) []byte {
	return masked(dst, ws.OpText, func(b []byte) []byte {
		b = append(append(append(b, `{"type":"OFFER","dst":"`...), to.ID...), `","payload":"`...)
		return append(append(b, payload...), `"}`...)
	})
}

// KeepAlive implements Dialect.
func (d *PeerJS) KeepAlive() []byte {
	return masked(nil, ws.OpText, func(b []byte) []byte { return append(b, `{"type":"HEARTBEAT"}`...) })
}
