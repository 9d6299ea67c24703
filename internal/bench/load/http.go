//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// ErrBusy is a server's answer that it takes no connections now.
var ErrBusy = errors.New("the server takes no connections")

var errStatus = errors.New("unexpected answer")

// response cuts an HTTP/1.1 response with a Content-Length from the input; size
// is 0 if it is not whole. 101, 204 and 304 have no body.
func response(in []byte) (status int, body []byte, size int, err error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		if len(in) > 16<<10 {
			return 0, nil, 0, fmt.Errorf("%w: endless header", errStatus)
		}
		return 0, nil, 0, nil
	}
	head := in[:end+2]
	if len(head) < 14 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, nil, 0, fmt.Errorf("%w: no HTTP/1.1", errStatus)
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, nil, 0, fmt.Errorf("%w: no status", errStatus)
	}
	size = end + 4
	if status == 101 || status == 204 || status == 304 {
		return status, nil, size, nil
	}
	n, err := contentLength(head)
	if err != nil {
		return 0, nil, 0, err
	}
	if len(in) < size+n {
		return 0, nil, 0, nil
	}
	return status, in[size : size+n], size + n, nil
}

func contentLength(head []byte) (int, error) {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || n < 0 || n > 1<<20 {
				return 0, fmt.Errorf("%w: bad length", errStatus)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: no Content-Length", errStatus)
}

// REST posts sends to connections over the data plane. Append addresses the
// connection to; its token is the one that Token gives, asked for once for each.
// Answers other than 202 end the connection.
type REST struct {
	Host string // of the request
	Hub  string
	// Token signs the token for a POST to path.
	Token  func(path string) (string, error)
	tokens map[string]string // by path
}

// Setup implements Dialect.
func (d *REST) Setup(l *Loop, c *Conn, _ []byte) (int, error) {
	l.opened(c)
	return 0, nil
}

// Sign asks for the tokens for sends to conns, so that it does not happen later.
func (d *REST) Sign(conns []*Conn) error {
	d.tokens = make(map[string]string, len(conns))
	for _, c := range conns {
		path := d.path(c)
		t, err := d.Token(path)
		if err != nil {
			return err
		}
		d.tokens[path] = t
	}
	return nil
}

func (d *REST) path(to *Conn) string {
	return "/api/hubs/" + d.Hub + "/connections/" + to.ID + "/:send"
}

// Append implements Dialect.
func (d *REST) Append(dst []byte, from *Conn, _ Kind, to *Conn, payload []byte) []byte {
	const before, after = `{"target":"message","arguments":["`, `"]}`
	from.busy = true
	path := d.path(to)
	dst = append(dst, "POST "+path+"?api-version=2022-06-01 HTTP/1.1\r\nHost: "+d.Host+
		"\r\nContent-Type: application/json\r\nAuthorization: Bearer "+d.tokens[path]+"\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(before)+len(payload)+len(after)), 10)
	dst = append(dst, "\r\n\r\n"+before...)
	dst = append(dst, payload...)
	return append(dst, after...)
}

// Next implements Dialect.
func (d *REST) Next(c *Conn, in []byte) (message []byte, size int, reply []byte, err error) {
	status, _, size, err := response(in)
	if err != nil || size == 0 {
		return nil, 0, nil, err
	}
	if status != 202 {
		return nil, 0, nil, fmt.Errorf("%w: status %d to a send", errStatus, status)
	}
	c.busy = false
	return nil, size, nil, nil
}

// KeepAlive implements Dialect.
func (d *REST) KeepAlive() []byte { return nil }
