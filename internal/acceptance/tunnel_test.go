package acceptance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/packetio"
	"github.com/pion/turn/v5"
)

// The shape of vk-turn-proxy: many allocations of one credential, and DTLS through each of them to a
// server of one's own, which looks like a call.

const turnServer = "11.0.0.1:3478"

// secure is DTLS by a key that both ends have.
func secure() []dtls.Option {
	return []dtls.Option{
		dtls.WithPSK(func([]byte) ([]byte, error) { return []byte("tunnel"), nil }), dtls.WithPSKIdentityHint([]byte("t")),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256), dtls.WithLoggerFactory(quiet()),
	}
}

func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.Writer = io.Discard
	return f
}

// target is the server at a tunnel's end: it takes DTLS and plain datagrams, and counts. With a credential
// it makes an allocation first, which proves its address.
type target struct {
	conn  net.PacketConn
	turn  *turn.Client
	mu    sync.Mutex
	flows map[string]*flow

	count arrivals
}

// arrivals is what has come through the relay.
type arrivals struct {
	Datagrams, Bytes, Payload atomic.Int64 // Payload: what was inside DTLS
	Stamp                     atomic.Int64 // the latest one of a stream
}

// counted is what a target says of them.
type counted struct{ Datagrams, Bytes, Payload, Stamp int64 }

func runTarget(ctx context.Context) error {
	conn, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	t := &target{conn: conn, flows: map[string]*flow{}}
	if user := os.Getenv("CAUSEWAY_TEST_USER"); user != "" {
		if t.turn, err = client(conn, user, os.Getenv("CAUSEWAY_TEST_PASS")); err != nil {
			return err
		}
	}
	go t.read(ctx)
	if t.turn != nil {
		if _, err := t.turn.Allocate(); err != nil {
			return fmt.Errorf("allocate: %w", err)
		}
	}
	fmt.Println(conn.LocalAddr().(*net.UDPAddr).Port)
	for range commandLines() {
		c := &t.count
		say(counted{c.Datagrams.Load(), c.Bytes.Load(), c.Payload.Load(), c.Stamp.Load()})
	}
	return nil
}

// read tells apart what the relay says itself and what it relays.
func (t *target) read(ctx context.Context) {
	b := make([]byte, 2048)
	for {
		n, from, err := t.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if t.turn != nil && from.String() == turnServer {
			_, _ = t.turn.HandleInbound(b[:n], from)
			continue
		}
		t.count.Datagrams.Add(1)
		t.count.Bytes.Add(int64(n))
		if n == 8 { // of a stream
			t.count.Stamp.Store(max(t.count.Stamp.Load(), int64(binary.BigEndian.Uint64(b))))
			continue
		}
		_, _ = t.flow(ctx, from).buffer.Write(b[:n], nil) // full: lost, as on any network
	}
}

func (t *target) flow(ctx context.Context, from net.Addr) *flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.flows[from.String()]
	if f == nil {
		f = &flow{conn: t.conn, from: from, buffer: packetio.NewBuffer()}
		t.flows[from.String()] = f
		go t.serve(ctx, f)
	}
	return f
}

func (t *target) serve(ctx context.Context, f *flow) {
	var options []dtls.ServerOption
	for _, o := range secure() {
		options = append(options, o)
	}
	c, err := dtls.ServerWithOptions(f, f.from, options...)
	if err != nil {
		return
	}
	defer c.Close()
	if c.HandshakeContext(ctx) != nil {
		return
	}
	for b := make([]byte, 2048); ; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		t.count.Payload.Add(int64(n))
	}
}

// flow is what comes from one address.
type flow struct {
	conn   net.PacketConn
	from   net.Addr
	buffer *packetio.Buffer
}

func (f *flow) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := f.buffer.Read(b, nil)
	return n, f.from, err
}
func (f *flow) WriteTo(b []byte, to net.Addr) (int, error) { return f.conn.WriteTo(b, to) }
func (f *flow) Close() error                               { return f.buffer.Close() }
func (f *flow) LocalAddr() net.Addr                        { return f.conn.LocalAddr() }
func (f *flow) SetDeadline(t time.Time) error              { return f.buffer.SetReadDeadline(t) }
func (f *flow) SetReadDeadline(t time.Time) error          { return f.buffer.SetReadDeadline(t) }
func (f *flow) SetWriteDeadline(time.Time) error           { return nil }

func client(conn net.PacketConn, user, pass string) (*turn.Client, error) {
	return turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: turnServer, TURNServerAddr: turnServer, Conn: conn,
		Username: user, Password: pass, LoggerFactory: quiet(),
	})
}

// outcome is what a tunnel says of its allocations, before it floods.
type outcome struct {
	Allocated, NoQuota, Forbidden, Shaken int
	Other                                 []string
}

// runTunnel is the thief's or the member's end: so many allocations of one credential, and DTLS through each
// to the target, as fast as it goes until it is told to stop. With the count 0 it is a single stream of
// datagrams that tell when they were sent.
func runTunnel(ctx context.Context) error {
	to, err := net.ResolveUDPAddr("udp4", os.Getenv("CAUSEWAY_TEST_TARGET"))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv("CAUSEWAY_TEST_COUNT"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		for range commandLines() {
		}
	}()
	var out outcome
	var floods []func([]byte)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range max(1, n) {
		wg.Go(func() {
			flood := tunnel(ctx, to, n == 0, &mu, &out)
			mu.Lock()
			defer mu.Unlock()
			if flood != nil {
				floods = append(floods, flood)
			}
		})
	}
	wg.Wait()
	say(out)
	b := make([]byte, 1000)
	if n == 0 {
		b = b[:8]
	}
	for t := time.NewTicker(2 * time.Millisecond); ctx.Err() == nil; {
		for _, flood := range floods {
			binary.BigEndian.PutUint64(b, uint64(time.Now().UnixNano()))
			flood(b)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// tunnel makes one allocation and goes through it, and returns what sends more; nil if nothing does.
func tunnel(ctx context.Context, to net.Addr, plain bool, mu *sync.Mutex, out *outcome) func([]byte) {
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
		case strings.Contains(err.Error(), "486"):
			out.NoQuota++
		case strings.Contains(err.Error(), "403"):
			out.Forbidden++
		default:
			out.Other = append(out.Other, err.Error())
		}
	}
	conn, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		note(err)
		return nil
	}
	c, err := client(conn, os.Getenv("CAUSEWAY_TEST_USER"), os.Getenv("CAUSEWAY_TEST_PASS"))
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		note(err)
		return nil
	}
	relayed, err := c.Allocate()
	if err != nil {
		note(err)
		return nil
	}
	mu.Lock()
	out.Allocated++
	mu.Unlock()
	patience := 20 * time.Second
	if err := c.CreatePermission(to); err != nil {
		note(err)
		patience = 2 * time.Second
	}
	if plain {
		return func(b []byte) { _, _ = relayed.WriteTo(b, to) }
	}
	var options []dtls.ClientOption
	for _, o := range secure() {
		options = append(options, o)
	}
	d, err := dtls.ClientWithOptions(relayed, to, options...)
	if err == nil {
		within, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err = d.HandshakeContext(within)
	}
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			note(err)
		}
		return nil
	}
	mu.Lock()
	out.Shaken++
	mu.Unlock()
	return func(b []byte) { _, _ = d.Write(b) }
}
