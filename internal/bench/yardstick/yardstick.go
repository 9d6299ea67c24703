// Package yardstick has the servers that causeway bench realtime compares the hub
// with. Each does the least that could be called the same work, in the way that
// one would write first:
//
//   - [Plain] copies frames between TCP connections, one goroutine each; and it
//     writes a frame to all of them in a loop.
//   - [Upgrade] answers one net/http request and one WebSocket upgrade.
//
// They listen on a port of their own on 127.0.0.1 and know no limits: nobody else
// talks to them.
package yardstick

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sync/errgroup"
)

// Kind names a yardstick.
type Kind string

// The yardsticks.
const (
	Plain   Kind = "plain"
	Upgrade Kind = "upgrade"
)

// Run serves kind until ctx ends. It writes the address as a line to w once
// connections are accepted.
func Run(ctx context.Context, kind Kind, w io.Writer) error {
	var serve func(context.Context, net.Listener) error
	switch kind {
	case Plain:
		serve = servePlain
	case Upgrade:
		serve = serveUpgrade
	default:
		return fmt.Errorf("there is no yardstick %q", kind)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintln(w, ln.Addr()); err != nil {
		_ = ln.Close()
		return fmt.Errorf("print the address: %w", err)
	}
	return serve(ctx, ln)
}

// plain is the state of servePlain: connections by the number that they gave
// themselves.
type plain struct {
	mu    sync.RWMutex
	conns map[uint32]net.Conn
}

// everybody is the destination that is every connection.
const everybody = 0xFFFF_FFFF

// maxFrame bounds a frame.
const maxFrame = 1 << 17

func servePlain(ctx context.Context, ln net.Listener) error {
	p := &plain{conns: make(map[uint32]net.Conn)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return ln.Close()
	})
	g.Go(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("accept: %w", err)
			}
			g.Go(func() error {
				p.serve(ctx, c)
				return nil
			})
		}
	})
	return g.Wait()
}

// serve reads frames of c and writes each where it says. The first one names c.
func (p *plain) serve(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	r := bufio.NewReaderSize(c, 4096)
	buf := make([]byte, 4096)
	named := false
	for {
		head, err := r.Peek(8)
		if err != nil {
			return
		}
		n, to := int(binary.BigEndian.Uint32(head)), binary.BigEndian.Uint32(head[4:])
		if n < 4 || n > maxFrame {
			return
		}
		if len(buf) < 4+n {
			buf = make([]byte, 4+n)
		}
		if _, err := io.ReadFull(r, buf[:4+n]); err != nil {
			return
		}
		if !named {
			named = true
			p.mu.Lock()
			p.conns[to] = c
			p.mu.Unlock()
		}
		p.pass(to, buf[:4+n])
	}
}

func (p *plain) pass(to uint32, frame []byte) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if to != everybody {
		if c := p.conns[to]; c != nil {
			_, _ = c.Write(frame) // its reader sees that it is gone
		}
		return
	}
	for _, c := range p.conns {
		_, _ = c.Write(frame)
	}
}

// serveUpgrade answers POST with what a negotiate answer looks like, and GET with
// an upgrade. The connections are kept, and nothing is done with them.
func serveUpgrade(ctx context.Context, ln net.Listener) error {
	var mu sync.Mutex
	var held []net.Conn
	mux := http.NewServeMux()
	mux.HandleFunc("POST /client/negotiate", func(w http.ResponseWriter, _ *http.Request) {
		const answer = `{"negotiateVersion":1,"connectionId":"0123456789abcdefghijkl","connectionToken":"0123456789abcdefghijkl",` +
			`"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}`
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = io.WriteString(w, answer) // the client may have left
	})
	mux.HandleFunc("GET /client/{$}", func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return // has been answered
		}
		mu.Lock()
		held = append(held, c)
		mu.Unlock()
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		err := srv.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range held {
			_ = c.Close()
		}
		return err
	})
	return g.Wait()
}
