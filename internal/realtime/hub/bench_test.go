package hub_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/hub/frame"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

// These benchmarks show the price of a change. Client and server share the
// process, so they are compared with a yardstick that does the same; the bars of
// the project are measured between processes, by the bench command.

func benchHub(b *testing.B, app realtime.Handler) (*hub.Hub, string) {
	b.Helper()
	h, err := hub.New(hub.Config{Handlers: chat(app), Keys: keys, Limits: hub.Limits{PerAddress: -1, Rate: -1}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-h.Ready()
	server := httptest.NewServer(h.Handler())
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return h, server.URL
}

// plug is a client that only has a socket.
func plug(b *testing.B, ep realtime.Endpoint) (net.Conn, io.Reader) {
	b.Helper()
	nc, r, err := realtimetest.Open(context.Background(), ep, "", realtimetest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	if err := ws.WriteFrame(nc, ws.MaskFrame(ws.NewTextFrame([]byte(hello)))); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
		b.Fatal(err)
	}
	return nc, r
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f b.N times and reports processor time rather than the clock's.
func measure(b *testing.B, per int, f func()) {
	b.Helper()
	f()
	before := cpu()
	b.ResetTimer()
	for range b.N {
		f()
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N*per), "cpu-ns/message")
}

// BenchmarkBroadcast sends 2 KB to 1000 connections, and the yardstick writes the
// same frames to the same sockets in a loop.
func BenchmarkBroadcast(b *testing.B) {
	const n = 1000
	h, origin := benchHub(b, funcs{})
	ep, err := h.Service("chat").Negotiate(b.Context(), realtime.Claims{Origin: origin})
	if err != nil {
		b.Fatal(err)
	}
	var clients []net.Conn
	for range n {
		nc, _ := plug(b, ep)
		clients = append(clients, nc)
	}
	msg := realtime.Message{Target: "m", Arguments: []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", 2000) + `"`)}}
	f, err := frame.New(signalr.JSON, &signalr.Message{Type: signalr.Invocation, Target: msg.Target, Arguments: msg.Arguments})
	if err != nil {
		b.Fatal(err)
	}
	read := func(all []net.Conn) {
		buf := make([]byte, len(f.Wire))
		for _, c := range all {
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	}
	service := h.Service("chat")
	b.Run("hub", func(b *testing.B) {
		measure(b, n, func() {
			if err := service.Send(context.Background(), realtime.All(), msg); err != nil {
				b.Fatal(err)
			}
			read(clients)
		})
	})
	b.Run("loop", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		var in, out []net.Conn
		for range n {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			s, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			in, out = append(in, s), append(out, c)
		}
		measure(b, n, func() {
			for _, s := range in {
				if _, err := s.Write(f.Wire); err != nil {
					b.Fatal(err)
				}
			}
			read(out)
		})
	})
}

// BenchmarkConnect opens connections, and the yardstick does a bare request and a
// bare upgrade in their place.
func BenchmarkConnect(b *testing.B) {
	h, origin := benchHub(b, funcs{})
	b.Run("hub", func(b *testing.B) {
		ep, err := h.Service("chat").Negotiate(b.Context(), realtime.Claims{User: "ann", Origin: origin})
		if err != nil {
			b.Fatal(err)
		}
		shake := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(hello))))
		measure(b, 1, func() {
			n, err := realtimetest.Negotiate(context.Background(), ep, realtimetest.Options{})
			if err != nil {
				b.Fatal(err)
			}
			nc, r, err := realtimetest.Open(context.Background(), ep, n.ConnectionToken, realtimetest.Options{})
			if err != nil {
				b.Fatal(err)
			}
			_, _ = nc.Write(shake)
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				b.Fatal(err)
			}
			nc.Close()
		})
	})
	b.Run("bare", func(b *testing.B) {
		mux := http.NewServeMux()
		mux.HandleFunc("/client/negotiate", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"connectionToken":"x"}`) })
		mux.HandleFunc("/client/", func(w http.ResponseWriter, r *http.Request) {
			nc, _, _, err := ws.UpgradeHTTP(r, w)
			if err != nil {
				return
			}
			defer nc.Close()
			_, _ = nc.Write([]byte("12345"))
			_, _ = io.Copy(io.Discard, nc)
		})
		server := httptest.NewServer(mux)
		defer server.Close()
		ep := realtime.Endpoint{URL: server.URL + "/client/?hub=chat", AccessToken: strings.Repeat("x", 200)}
		measure(b, 1, func() {
			if _, err := realtimetest.Negotiate(context.Background(), ep, realtimetest.Options{}); err != nil {
				b.Fatal(err)
			}
			nc, r, err := realtimetest.Open(context.Background(), ep, "x", realtimetest.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				b.Fatal(err)
			}
			nc.Close()
		})
	})
}

// BenchmarkAddressed sends 1.5 KB from one client to another through the handler;
// the yardstick copies the same bytes from socket to socket.
func BenchmarkAddressed(b *testing.B) {
	var service realtime.Service
	h, origin := benchHub(b, funcs{invoked: func(ctx context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
		return nil, service.Send(ctx, realtime.User("bob"), realtime.Message{Target: "m", Arguments: m.Arguments})
	}})
	service = h.Service("chat")
	connect := func(user string) (net.Conn, io.Reader) {
		ep, err := service.Negotiate(b.Context(), realtime.Claims{User: user, Origin: origin})
		if err != nil {
			b.Fatal(err)
		}
		return plug(b, ep)
	}
	args := []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", 1500) + `"`)}
	in, err := signalr.JSON.Append(nil, &signalr.Message{Type: signalr.Invocation, Target: "m", Arguments: args})
	if err != nil {
		b.Fatal(err)
	}
	wire := ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame(in)))
	f, err := frame.New(signalr.JSON, &signalr.Message{Type: signalr.Invocation, Target: "m", Arguments: args})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("hub", func(b *testing.B) {
		ann, _ := connect("ann")
		_, bob := connect("bob")
		buf := make([]byte, len(f.Wire))
		measure(b, 1, func() {
			_, _ = ann.Write(wire)
			if _, err := io.ReadFull(bob, buf); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("copy", func(b *testing.B) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		pair := func() (client, server net.Conn) {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			s, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			return c, s
		}
		ann, from := pair()
		bob, to := pair()
		go func() {
			defer to.Close()
			buf := make([]byte, 8192)
			for {
				n, err := from.Read(buf)
				if err != nil {
					return
				}
				_, _ = to.Write(buf[:n])
			}
		}()
		buf := make([]byte, len(wire))
		measure(b, 1, func() {
			_, _ = ann.Write(wire)
			if _, err := io.ReadFull(bob, buf); err != nil {
				b.Fatal(err)
			}
		})
		ann.Close()
		bob.Close()
	})
}
