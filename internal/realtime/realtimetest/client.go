package realtimetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"causeway/internal/realtime"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// Options says how a Client connects. The zero value is JSON over WebSockets.
type Options struct {
	Protocol signalr.Protocol
	// SkipNegotiation opens the WebSocket without asking for an id.
	SkipNegotiation bool
	// Dial opens network connections; nil means TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resume asks for stateful reconnect.
	Resume bool
	// OnInvoke answers invocations that want a result; nil answers with an error.
	OnInvoke func(realtime.Message) (json.RawMessage, error)
}

// Client is a small SignalR client over WebSockets. It answers nothing by itself
// but client results, and sends no pings.
type Client struct {
	// ID is the public connection id; empty if negotiation was skipped.
	ID string
	// Negotiation is what the service answered.
	Negotiation Negotiation

	opts     Options
	nc       net.Conn
	splitter signalr.Splitter
	writes   sync.Mutex
	messages chan signalr.Message // closed when the connection has ended
	mu       sync.Mutex
	pending  map[string]chan signalr.Message
	nextID   int
	closing  *signalr.Message
	code     ws.StatusCode
	ended    chan struct{}
}

// Negotiation is the answer to a negotiate request.
type Negotiation struct {
	NegotiateVersion    int    `json:"negotiateVersion"`
	ConnectionID        string `json:"connectionId"`
	ConnectionToken     string `json:"connectionToken"`
	AvailableTransports []struct {
		Transport       string   `json:"transport"`
		TransferFormats []string `json:"transferFormats"`
	} `json:"availableTransports"`
	UseStatefulReconnect bool   `json:"useStatefulReconnect"`
	Error                string `json:"error"`
}

// Negotiate asks the service at ep for a connection.
func Negotiate(ctx context.Context, ep realtime.Endpoint, o Options) (n Negotiation, err error) {
	u, err := url.Parse(ep.URL)
	if err != nil {
		return n, err
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/negotiate"
	u.RawQuery += "&negotiateVersion=1"
	if o.Resume {
		u.RawQuery += "&useStatefulReconnect=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return n, err
	}
	req.Header.Set("Authorization", "Bearer "+ep.AccessToken)
	transport := &http.Transport{DialContext: o.Dial, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return n, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return n, err
	}
	if res.StatusCode != http.StatusOK {
		return n, fmt.Errorf("negotiate: %s: %s", res.Status, bytes.TrimSpace(b))
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, err
	}
	if n.Error != "" {
		return n, errors.New("negotiate: " + n.Error)
	}
	return n, nil
}

// Open opens a WebSocket for the connection token id (none if it is empty).
func Open(ctx context.Context, ep realtime.Endpoint, id string, o Options) (net.Conn, io.Reader, error) {
	address := strings.Replace(ep.URL, "http", "ws", 1)
	if id != "" {
		address += "&id=" + id
	}
	d := ws.Dialer{NetDial: o.Dial, Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + ep.AccessToken}})}
	nc, br, _, err := d.Dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	if br != nil {
		return nc, br, nil
	}
	return nc, nc, nil
}

// Dial connects to ep and shakes hands.
func Dial(ctx context.Context, ep realtime.Endpoint, o Options) (*Client, error) {
	c := &Client{opts: o, messages: make(chan signalr.Message, 128), pending: map[string]chan signalr.Message{}, ended: make(chan struct{}),
		splitter: signalr.NewSplitter(o.Protocol, 64<<20)}
	id := ""
	if !o.SkipNegotiation {
		n, err := Negotiate(ctx, ep, o)
		if err != nil {
			return nil, err
		}
		c.Negotiation, c.ID, id = n, n.ConnectionID, n.ConnectionToken
	}
	nc, r, err := Open(ctx, ep, id, o)
	if err != nil {
		return nil, err
	}
	c.nc = nc
	version := 1
	if c.Negotiation.UseStatefulReconnect {
		version = 2
	}
	// Clients send the handshake as text, whatever the protocol.
	if err := c.writeFrame(ws.OpText, signalr.AppendHandshake(nil, signalr.Handshake{Protocol: o.Protocol.String(), Version: version})); err != nil {
		nc.Close()
		return nil, err
	}
	payload, err := c.readFrame(r)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	body, rest, ok, err := signalr.CutHandshake(payload)
	if err != nil || !ok {
		nc.Close()
		return nil, errors.New("handshake: incomplete reply")
	}
	if text, err := signalr.ParseHandshakeReply(body); err != nil || text != "" {
		nc.Close()
		return nil, fmt.Errorf("handshake: %q %w", text, err)
	}
	go c.read(r, rest) // ends with the connection
	return c, nil
}

// maxFrame is the longest frame that ReadFrame reads.
const maxFrame = 64 << 20

// ReadFrame reads one WebSocket frame.
func ReadFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > maxFrame {
		return f, fmt.Errorf("frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// readFrame reads the payload of the next data frame; a Close frame is io.EOF.
func (c *Client) readFrame(r io.Reader) ([]byte, error) {
	for {
		f, err := ReadFrame(r)
		if err != nil {
			return nil, err
		}
		switch f.Header.OpCode {
		case ws.OpText, ws.OpBinary, ws.OpContinuation:
			return f.Payload, nil
		case ws.OpClose:
			if len(f.Payload) >= 2 {
				c.code = ws.StatusCode(int(f.Payload[0])<<8 | int(f.Payload[1]))
			}
			_ = c.writeFrame(ws.OpClose, f.Payload)
			return nil, io.EOF
		}
	}
}

func (c *Client) writeFrame(op ws.OpCode, payload []byte) error {
	c.writes.Lock()
	defer c.writes.Unlock()
	f := ws.MaskFrame(ws.NewFrame(op, true, payload))
	b, err := ws.CompileFrame(f)
	if err != nil {
		return err
	}
	_, err = c.nc.Write(b)
	return err
}

func (c *Client) read(r io.Reader, payload []byte) {
	defer close(c.ended)
	defer close(c.messages)
	defer c.nc.Close()
	for {
		if err := c.splitter.Feed(payload, c.receive); err != nil {
			return
		}
		var err error
		if payload, err = c.readFrame(r); err != nil {
			return
		}
		if c.splitter.Partial() {
			return // a frame holds whole messages (§2.2)
		}
	}
}

func (c *Client) receive(body []byte) error {
	m, err := c.opts.Protocol.Decode(bytes.Clone(body))
	if err != nil {
		return err
	}
	switch {
	case m.Type == signalr.Completion:
		c.mu.Lock()
		ch := c.pending[m.InvocationID]
		delete(c.pending, m.InvocationID)
		c.mu.Unlock()
		if ch != nil {
			ch <- m
		}
		return nil
	case m.Type == signalr.Invocation && m.InvocationID != "":
		answer := signalr.Message{Type: signalr.Completion, InvocationID: m.InvocationID}
		if c.opts.OnInvoke == nil {
			answer.Error = "Client didn't provide a result."
		} else if answer.Value, err = c.opts.OnInvoke(realtime.Message{Target: m.Target, Arguments: m.Arguments}); err != nil {
			answer.Value, answer.Error = nil, err.Error()
		}
		return c.Write(answer)
	case m.Type == signalr.Close:
		c.mu.Lock()
		c.closing = &m
		c.mu.Unlock()
	}
	c.messages <- m
	return nil
}

// Write sends messages, all in one WebSocket message.
func (c *Client) Write(ms ...signalr.Message) error {
	var b []byte
	var err error
	for _, m := range ms {
		if b, err = c.opts.Protocol.Append(b, &m); err != nil {
			return err
		}
	}
	op := ws.OpText
	if c.opts.Protocol.Binary() {
		op = ws.OpBinary
	}
	return c.writeFrame(op, b)
}

// Send invokes target without wanting a result.
func (c *Client) Send(target string, args ...any) error {
	m, err := realtime.NewMessage(target, args...)
	if err != nil {
		return err
	}
	return c.Write(signalr.Message{Type: signalr.Invocation, Target: m.Target, Arguments: m.Arguments})
}

// WriteRaw sends a frame as it is, whatever it does to the connection.
func (c *Client) WriteRaw(op ws.OpCode, payload []byte) { _ = c.writeFrame(op, payload) }

// Invoke invokes target, and waits for the result.
func (c *Client) Invoke(ctx context.Context, target string, args ...any) (json.RawMessage, error) {
	return c.call(ctx, signalr.Invocation, target, args...)
}

// Stream asks target for a stream, and waits for its end.
func (c *Client) Stream(ctx context.Context, target string, args ...any) (json.RawMessage, error) {
	return c.call(ctx, signalr.StreamInvocation, target, args...)
}

func (c *Client) call(ctx context.Context, kind signalr.Type, target string, args ...any) (json.RawMessage, error) {
	m, err := realtime.NewMessage(target, args...)
	if err != nil {
		return nil, err
	}
	ch := make(chan signalr.Message, 1)
	c.mu.Lock()
	id := fmt.Sprint(c.nextID)
	c.nextID++
	c.pending[id] = ch
	c.mu.Unlock()
	if err := c.Write(signalr.Message{Type: kind, InvocationID: id, Target: m.Target, Arguments: m.Arguments}); err != nil {
		return nil, err
	}
	select {
	case m := <-ch:
		if m.Error != "" {
			return nil, errors.New(m.Error)
		}
		return m.Value, nil
	case <-c.ended:
		return nil, io.ErrUnexpectedEOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Next returns the next message that is no completion, or io.EOF after the last.
func (c *Client) Next(ctx context.Context) (signalr.Message, error) {
	select {
	case m, ok := <-c.messages:
		if !ok {
			return m, io.EOF
		}
		return m, nil
	case <-ctx.Done():
		return signalr.Message{}, ctx.Err()
	}
}

// Ended waits for the end of the connection, and returns the hub's Close message,
// if one came, and the WebSocket close code, 0 if none came.
func (c *Client) Ended(ctx context.Context) (*signalr.Message, ws.StatusCode, error) {
	select {
	case <-c.ended:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.closing, c.code, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// Close says goodbye as SignalR clients do, and waits for the end.
func (c *Client) Close() {
	_ = c.Write(signalr.Message{Type: signalr.Close})
	_ = c.writeFrame(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
	for range c.messages {
	}
}

// Cut ends the connection without a goodbye.
func (c *Client) Cut() {
	_ = c.nc.Close()
	for range c.messages {
	}
}
