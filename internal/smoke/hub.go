package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// separator ends each message of SignalR's JSON protocol.
const separator = 0x1e

// conn is a connection to the hub, by WebSocket. One goroutine reads; it ends when the connection does.
type conn struct {
	net    interface{ Close() error }
	rw     wsConn
	events chan event
	ended  chan struct{}
	why    error // set before ended is closed

	mu      sync.Mutex
	next    int
	waiting map[string]chan error
}

type wsConn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	SetDeadline(time.Time) error
}

// event is one from the server.
type event struct {
	target     string
	From, Role string
	ICEServers []iceServer
}

type iceServer struct {
	URLs                 []string
	Username, Credential string
}

// maxEvents bounds what waits to be looked at; more than a few is not this protocol.
const maxEvents = 64

// dial negotiates with the realtime service, and connects.
func (r *runner) dial(ctx context.Context, endpoint, token string) (*conn, error) {
	base, err := url.Parse(endpoint)
	if err != nil || base.Host == "" || token == "" {
		return nil, errors.New("negotiate: the answer names no service")
	}
	negotiate := *base
	negotiate.Path = strings.TrimRight(base.Path, "/") + "/negotiate"
	negotiate.RawQuery = strings.TrimPrefix(base.RawQuery+"&negotiateVersion=1", "&")
	var a struct{ ConnectionToken, Error string }
	if err := r.post(ctx, negotiate.String(), token, struct{}{}, &a); err != nil {
		return nil, fmt.Errorf("negotiate with the realtime service: %w", err)
	}
	if a.Error != "" || a.ConnectionToken == "" {
		return nil, errors.New("negotiate with the realtime service: it refuses")
	}
	target := *base
	target.Scheme = map[string]string{"https": "wss", "http": "ws"}[base.Scheme]
	target.RawQuery = strings.TrimPrefix(base.RawQuery+"&id="+url.QueryEscape(a.ConnectionToken), "&")
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + token}})}
	nc, br, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the realtime service: %w", withoutURL(err))
	}
	c := &conn{net: nc, rw: nc, events: make(chan event, maxEvents), ended: make(chan struct{}), waiting: map[string]chan error{}}
	buffered := []byte(nil)
	if br != nil {
		buffered, _ = br.Peek(br.Buffered())
		c.rw = &prefixed{wsConn: nc, first: bytes.Clone(buffered)}
	}
	if err := c.handshake(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("shake hands with the realtime service: %w", err), nc.Close())
	}
	go c.read()
	return c, nil
}

// prefixed gives what came with the handshake first.
type prefixed struct {
	wsConn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.wsConn.Read(b)
}

func (c *conn) handshake(ctx context.Context) error {
	if d, ok := ctx.Deadline(); ok {
		if err := c.rw.SetDeadline(d); err != nil {
			return err
		}
	}
	if err := c.write([]byte(`{"protocol":"json","version":1}`)); err != nil {
		return err
	}
	batch, err := c.messages()
	if err != nil {
		return err
	}
	var a struct{ Error string }
	if err := json.Unmarshal(batch[0], &a); err != nil || a.Error != "" {
		return errors.New("it refuses")
	}
	return c.rw.SetDeadline(time.Time{})
}

func (c *conn) write(message []byte) error {
	return wsutil.WriteClientText(c.rw, append(message, separator))
}

// messages reads one WebSocket message: one or more of the hub's.
func (c *conn) messages() ([][]byte, error) {
	for {
		data, op, err := wsutil.ReadServerData(c.rw)
		if err != nil {
			return nil, err
		}
		if op != ws.OpText {
			continue
		}
		parts := bytes.Split(bytes.TrimSuffix(data, []byte{separator}), []byte{separator})
		if len(parts) > 0 {
			return parts, nil
		}
	}
}

// read passes on what comes until the connection ends.
func (c *conn) read() {
	defer close(c.ended)
	for {
		batch, err := c.messages()
		if err != nil {
			c.why = err
			return
		}
		for _, m := range batch {
			if !c.take(m) {
				c.why = errors.New("the realtime service closed the connection")
				return
			}
		}
	}
}

// take handles one message of the hub protocol; it reports false for Close.
func (c *conn) take(message []byte) bool {
	var m struct {
		Type         int
		Target       string
		InvocationID string
		Error        string
		Arguments    []json.RawMessage
	}
	if json.Unmarshal(message, &m) != nil {
		return true
	}
	switch m.Type {
	case 1: // Invocation
		e := event{target: m.Target}
		if len(m.Arguments) > 0 && json.Unmarshal(m.Arguments[0], &e) == nil {
			select {
			case c.events <- e:
			default: // nobody waits for so many
			}
		}
	case 3: // Completion
		c.mu.Lock()
		done := c.waiting[m.InvocationID]
		delete(c.waiting, m.InvocationID)
		c.mu.Unlock()
		if done != nil {
			var err error
			if m.Error != "" {
				err = errors.New(m.Error)
			}
			done <- err
		}
	case 7: // Close
		return false
	}
	return true
}

// invoke calls a method, and waits for its completion.
func (c *conn) invoke(ctx context.Context, method string, argument any) error {
	done := make(chan error, 1)
	c.mu.Lock()
	c.next++
	id := strconv.Itoa(c.next)
	c.waiting[id] = done
	message, err := json.Marshal(map[string]any{"type": 1, "invocationId": id, "target": method, "arguments": []any{argument}})
	if err == nil {
		err = c.write(message)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-c.ended:
		return c.why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// event waits for one with a name; others are passed over.
func (c *conn) event(ctx context.Context, target string) (event, error) {
	for {
		select {
		case e := <-c.events:
			if e.target == target {
				return e, nil
			}
		case <-c.ended:
			return event{}, c.why
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}

// goodbye is how long leaving may take.
const goodbye = 2 * time.Second

// bye leaves the session, and closes.
func (c *conn) bye() {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	_ = c.invoke(ctx, "bye", struct{}{}) // it may be gone already
	_ = c.net.Close()
	<-c.ended
}
