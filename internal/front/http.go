package front

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"causeway/internal/loop"
)

var crlf = []byte("\r\n")

// plain says whether b is the head of one request and nothing else, of which no two
// readers could think differently (RFC 9112 §2.2, §3, §5): lines that end in CRLF,
// names of letters, digits and hyphens, no control characters, one Host.
func plain(b []byte) bool {
	if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return false
	}
	line, b, _ := bytes.Cut(b, crlf)
	if !printable(line) {
		return false
	}
	hosts := 0
	for {
		line, b, _ = bytes.Cut(b, crlf)
		if len(line) == 0 {
			return hosts == 1 && len(b) == 0
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isName(name) || !printable(value) {
			return false
		}
		if len(name) == 4 && bytes.EqualFold(name, []byte("host")) {
			hosts++
			for _, c := range bytes.TrimSpace(value) {
				if !isAlphanumeric(c) && strings.IndexByte("-._:[]", c) < 0 {
					return false
				}
			}
		}
	}
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isName(b []byte) bool {
	for _, c := range b {
		if !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return len(b) > 0
}

// printable says whether b is ASCII without control characters.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// input is what http.ReadRequest needs.
type input struct {
	bytes  bytes.Reader
	buffer *bufio.Reader
}

var inputs = sync.Pool{New: func() any { return &input{buffer: bufio.NewReader(nil)} }}

// parse reads a plain head; nil if there is anything about the request that net/http
// should judge, or a body to come.
func parse(b []byte) *http.Request {
	in := inputs.Get().(*input)
	defer inputs.Put(in)
	in.bytes.Reset(b)
	in.buffer.Reset(&in.bytes)
	r, err := http.ReadRequest(in.buffer)
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 ||
		r.Header["Expect"] != nil || r.Host == "" || r.URL.Host != "" {
		return nil
	}
	return r
}

// reply is the http.ResponseWriter of an answer that is sent when the handler is done.
type reply struct {
	client *client
	header http.Header
	status int
	body   []byte
	taken  bool // by Hijack
}

// Header implements http.ResponseWriter.
func (w *reply) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *reply) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // nobody waits for interim ones
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *reply) Write(b []byte) (int, error) {
	if w.taken {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// send writes the answer. It says no if the socket does not take all of it.
func (w *reply) send(r *http.Request) bool {
	w.WriteHeader(http.StatusOK)
	h := w.Header()
	if len(w.body) > 0 && h["Content-Type"] == nil {
		h.Set("Content-Type", http.DetectContentType(w.body))
	}
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(w.body)))
	}
	if h["Date"] == nil {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if h.Get("Connection") == "close" {
		r.Close = true
	}
	if r.Close {
		h.Set("Connection", "close")
	}
	var b bytes.Buffer
	b.Grow(1024 + len(w.body))
	b.WriteString("HTTP/1.1 ")
	b.WriteString(strconv.Itoa(w.status))
	b.WriteByte(' ')
	b.WriteString(http.StatusText(w.status))
	b.Write(crlf)
	_ = h.Write(&b) // memory
	b.Write(crlf)
	b.Write(w.body)
	n, err := w.client.sock.Write(b.Bytes())
	return err == nil && n == b.Len()
}

// Hijack implements http.Hijacker. The connection is a Taker.
func (w *reply) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.taken {
		return nil, nil, http.ErrHijacked
	}
	w.taken = true
	c := &taken{w.client}
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, 16), bufio.NewWriterSize(c, 512)), nil
}

// taken is a connection that a handler has taken over. It can be written to, not
// waiting, closed, and taken by a loop.Source, which reads.
type taken struct{ client *client }

var errNotRead = errors.New("front: a connection that was taken over is read by a loop.Source")

// Take implements Taker.
func (c *taken) Take(by loop.Source) *loop.Socket {
	c.client.sock.Hand(by)
	return c.client.sock
}

// Read implements net.Conn, and says that it can't.
func (c *taken) Read([]byte) (int, error) { return 0, errNotRead }

// Write implements net.Conn.
func (c *taken) Write(b []byte) (int, error) {
	n, err := c.client.sock.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// Close implements net.Conn.
func (c *taken) Close() error {
	c.client.sock.Close()
	return nil
}

// LocalAddr implements net.Conn.
func (c *taken) LocalAddr() net.Addr { return c.client.front.ln.Addr() }

// RemoteAddr implements net.Conn.
func (c *taken) RemoteAddr() net.Addr {
	a, _ := netip.ParseAddrPort(c.client.addr) // we wrote it
	return net.TCPAddrFromAddrPort(a)
}

// SetDeadline implements net.Conn. Nothing waits here.
func (c *taken) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *taken) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *taken) SetWriteDeadline(time.Time) error { return nil }
