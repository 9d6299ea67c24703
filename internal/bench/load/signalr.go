//go:build linux

package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"
)

// SignalR speaks to a hub with the targets of package echo: negotiate on a
// connection of its own, as browsers do; then WebSocket, handshake, and JSON.
type SignalR struct {
	Host string // of the requests
	Hub  string
	// Token signs the token of the connection with this index.
	Token func(index int) (string, error)
	// Bare is for a server that answers both requests and does nothing more.
	Bare bool
}

// The steps of Setup.
const (
	stepNegotiate = iota // the socket has connected: ask
	stepNegotiated
	stepUpgrade // the second socket has connected: ask
	stepUpgraded
	stepHandshake
)

const rs = "\x1e"

var (
	handshake = masked(nil, ws.OpText, func(b []byte) []byte { return append(b, `{"protocol":"json","version":1}`+rs...) })
	ping      = masked(nil, ws.OpText, func(b []byte) []byte { return append(b, `{"type":6}`+rs...) })
)

// Setup implements Dialect.
func (d *SignalR) Setup(l *Loop, c *Conn, in []byte) (int, error) {
	switch c.step {
	case stepNegotiate:
		token, err := d.Token(c.Index)
		if err != nil {
			return 0, err
		}
		c.token = token
		l.write(c, []byte("POST /client/negotiate?hub="+d.Hub+"&negotiateVersion=1 HTTP/1.1\r\nHost: "+d.Host+
			"\r\nContent-Type: text/plain;charset=UTF-8\r\nX-Requested-With: XMLHttpRequest\r\n"+d.authorization(c)+"Content-Length: 0\r\n\r\n"))
		c.step = stepNegotiated
	case stepNegotiated:
		return d.negotiated(l, c, in)
	case stepUpgrade:
		l.write(c, upgrade(nil, "/client/?hub="+d.Hub+"&id="+c.link, d.Host, d.authorization(c)))
		c.step = stepUpgraded
	case stepUpgraded:
		size, err := upgraded(in)
		if err != nil || size == 0 {
			return 0, err
		}
		if d.Bare {
			l.opened(c)
			return size, nil
		}
		l.write(c, handshake)
		c.step = stepHandshake
		return size, nil
	case stepHandshake:
		reply, size, _, err := frame(in)
		if err != nil || size == 0 {
			return 0, err
		}
		if !bytes.HasPrefix(reply, []byte("{}"+rs)) {
			return 0, fmt.Errorf("%w: handshake refused", errStatus)
		}
		l.opened(c)
		return size, nil
	}
	return 0, nil
}

func (d *SignalR) authorization(c *Conn) string { return "Authorization: Bearer " + c.token + "\r\n" }

func (d *SignalR) negotiated(l *Loop, c *Conn, in []byte) (int, error) {
	status, body, size, err := response(in)
	if err != nil || size == 0 {
		return 0, err
	}
	if status == 503 {
		return 0, ErrBusy
	}
	if status != 200 {
		return 0, fmt.Errorf("%w: status %d to negotiate", errStatus, status)
	}
	var a struct{ ConnectionID, ConnectionToken, Error string }
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, fmt.Errorf("negotiate: %w", err)
	}
	if a.Error != "" || a.ConnectionID == "" || a.ConnectionToken == "" {
		return 0, errors.New("negotiate: refused")
	}
	c.ID, c.link = a.ConnectionID, a.ConnectionToken
	c.step = stepUpgrade
	return size, l.again(c)
}

// Next implements Dialect.
func (d *SignalR) Next(_ *Conn, in []byte) (message []byte, size int, reply []byte, err error) {
	message, size, reply, err = frame(in)
	if bytes.HasPrefix(message, []byte(`{"type":7`)) {
		return nil, 0, nil, fmt.Errorf("the hub closed the connection: %.200s", message)
	}
	return message, size, reply, err
}

// Append implements Dialect.
func (d *SignalR) Append(dst []byte, from *Conn, kind Kind, to *Conn, payload []byte) []byte {
	return masked(dst, ws.OpText, func(b []byte) []byte {
		b = append(b, `{"type":1,"target":"`...)
		switch kind {
		case Echo:
			b = append(b, `echo","arguments":["`...)
		case Send:
			b = append(append(append(b, `send","arguments":["`...), to.ID...), `","`...)
		case Join:
			return append(strconv.AppendInt(append(b, `join","arguments":["g`...), int64(from.Index/GroupSize), 10), `"]}`+rs...)
		case Group:
			b = append(strconv.AppendInt(append(b, `group","arguments":["g`...), int64(from.Index/GroupSize), 10), `","`...)
		case Broadcast:
			b = append(b, `broadcast","arguments":["`...)
		}
		return append(append(b, payload...), `"]}`+rs...)
	})
}

// KeepAlive implements Dialect.
func (d *SignalR) KeepAlive() []byte { return ping }
