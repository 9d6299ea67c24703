package demux

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// pipes is a listener of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

func config(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"relay.test"}, NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1", ALPN}}
}

// running is a Demux whose HTTP half is served, and whose relay half echoes.
func running(t *testing.T) *pipes {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	d := New(l, config(t))
	srv := &http.Server{ConnContext: ConnContext, Handler: Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, r.Proto)
	}))}
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return d.Run(ctx) })
	g.Go(func() error {
		if err := srv.Serve(d.HTTP()); err != http.ErrServerClosed && err != net.ErrClosed {
			return err
		}
		return nil
	})
	g.Go(func() error {
		for {
			c, err := d.Relay().Accept()
			if err != nil {
				return nil
			}
			g.Go(func() error {
				_, _ = io.Copy(c, c)
				_ = c.Close() // the client is gone already
				return nil
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = srv.Close()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestTellsApart(t *testing.T) {
	for name, tt := range map[string]struct {
		alpn []string
		send string
		want string
	}{
		"turn by alpn":       {[]string{ALPN}, "\x40echo", "\x40echo"},
		"turn by first byte": {nil, "\x00\x01echo", "\x00\x01echo"},
		"http by alpn":       {[]string{"http/1.1"}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		"http by first byte": {nil, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		"websocket, no alpn": {nil, "GET /client HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		"http before turn":   {[]string{"http/1.1", ALPN}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			l := running(t)
			c := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: tt.alpn})
			defer c.NetConn().Close()
			if _, err := io.WriteString(c, tt.send); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, len(tt.want))
			if _, err := io.ReadFull(c, b); err != nil || string(b) != tt.want {
				t.Errorf("%q, %v; want %q", b, err, tt.want)
			}
		})
	}
}

func TestHTTP2(t *testing.T) {
	l := running(t)
	tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		return c, c.HandshakeContext(ctx)
	}}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("https://relay.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "HTTP/2.0" || res.StatusCode != 200 {
		t.Errorf("%d %q, %v", res.StatusCode, body, err)
	}
}

// Who says nothing, in the handshake or after it, is cut.
func TestSilence(t *testing.T) {
	for _, handshake := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := running(t)
			var c net.Conn = l.dial()
			began := time.Now()
			if handshake {
				s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				if err := s.Handshake(); err != nil {
					t.Fatal(err)
				}
				c = s
			}
			if _, err := bufio.NewReader(c).ReadByte(); err == nil {
				t.Error("something was said")
			}
			if took := time.Since(began); took != Patience {
				t.Errorf("cut after %v", took)
			}
			_ = c.Close()
		})
	}
}

// What is no TLS is nobody's.
func TestNoTLS(t *testing.T) {
	c := running(t).dial()
	go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
	b, _ := io.ReadAll(c)
	if strings.Contains(string(b), "HTTP/1.1 200") {
		t.Errorf("%q", b)
	}
	_ = c.Close()
}
