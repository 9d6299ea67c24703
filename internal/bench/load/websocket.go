//go:build linux

package load

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// mask is the key of all our frames. It is not zero, since some servers skip the
// unmasking then.
var mask = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// masked appends a client's frame around what f appends.
func masked(dst []byte, op ws.OpCode, f func([]byte) []byte) []byte {
	const head = 8 // for 126 to 65535 bytes
	at := len(dst)
	dst = f(append(dst, make([]byte, head)...))
	body := dst[at+head:]
	ws.Cipher(body, mask, 0)
	n := len(body)
	if n < 126 {
		dst[at], dst[at+1] = 0x80|byte(op), 0x80|byte(n)
		copy(dst[at+2:], mask[:])
		copy(dst[at+6:], body)
		return dst[:at+6+n]
	}
	dst[at], dst[at+1] = 0x80|byte(op), 0x80|126
	binary.BigEndian.PutUint16(dst[at+2:], uint16(n)) // payloads are shorter by far
	copy(dst[at+4:], mask[:])
	return dst
}

// frame cuts a server's frame from the input; size is 0 if it is not whole.
// message is empty for control frames; reply is the Pong for a Ping.
func frame(in []byte) (message []byte, size int, reply []byte, err error) {
	if len(in) < 2 {
		return nil, 0, nil, nil
	}
	n, head := int(in[1]&0x7F), 2
	switch n {
	case 126:
		if len(in) < 4 {
			return nil, 0, nil, nil
		}
		n, head = int(binary.BigEndian.Uint16(in[2:])), 4
	case 127:
		return nil, 0, nil, errors.New("a frame of more than 64 KiB")
	}
	if in[1]&0x80 != 0 {
		return nil, 0, nil, errors.New("a masked frame from the server")
	}
	if len(in) < head+n {
		return nil, 0, nil, nil
	}
	body := in[head : head+n]
	switch op := ws.OpCode(in[0] & 0x0F); op {
	case ws.OpText, ws.OpBinary, ws.OpContinuation:
		return body, head + n, nil, nil
	case ws.OpPing:
		return nil, head + n, masked(nil, ws.OpPong, func(b []byte) []byte { return append(b, body...) }), nil
	case ws.OpPong:
		return nil, head + n, nil, nil
	case ws.OpClose:
		return nil, 0, nil, fmt.Errorf("the server closed the connection: % x", body)
	default:
		return nil, 0, nil, fmt.Errorf("a frame with opcode %d", op)
	}
}

// upgrade appends the request for a WebSocket; header is lines that end in CR LF.
func upgrade(dst []byte, target, host, header string) []byte {
	return append(dst, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+header+"\r\n"...)
}

// upgraded cuts the answer to it; size is 0 if it is not whole.
func upgraded(in []byte) (size int, err error) {
	status, _, size, err := response(in)
	if err == nil && size > 0 && status != 101 {
		err = fmt.Errorf("%w: status %d to an upgrade", errStatus, status)
	}
	return size, err
}
