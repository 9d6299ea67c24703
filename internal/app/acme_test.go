package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"causeway/internal/app/certs"
	"causeway/internal/config"
)

const acmeDomain = "send.example.org"

// pebble runs a real ACME authority (Let's Encrypt's Pebble), which connects back to port for the TLS-ALPN challenge.
// It returns how to use it, and the roots of its certificates.
func pebble(t *testing.T, port int) (config.TLS, *x509.CertPool) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	discard := log.New(t.Output(), "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(discard, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	validation := va.New(discard, 0, port, false, loopbackDNS(t), store)
	front := wfe.New(discard, store, validation, authority, []string{"ca.example"}, false, false, 1, 1)
	directory := httptest.NewTLSServer(front.Handler())
	t.Cleanup(directory.Close)

	c := config.TLS{ACMEDomain: []string{acmeDomain}, ACMECA: directory.URL + wfe.DirectoryPath, ACMERoot: filepath.Join(t.TempDir(), "root.pem")}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: directory.Certificate().Raw})
	if err := os.WriteFile(c.ACMERoot, root, 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.GetRootCert(0).Cert)
	return c, roots
}

// certified waits until a server at addr has its certificate, and returns a connection by one protocol.
func certified(t *testing.T, addr string, roots *x509.CertPool, protocol string) *tls.Conn {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: acmeDomain, RootCAs: roots, NextProtos: []string{protocol}}}
	for deadline := time.Now().Add(60 * time.Second); ; {
		// The handshake waits for nothing: until there is a certificate it fails.
		c, err := dialer.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
			return c.(*tls.Conn)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no certificate in time: %v", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestACME(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	c, roots := pebble(t, port)
	tc, err := certs.TLS(t.Context(), c, t.TempDir(), port, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Listener.Close()
	server.Listener = l
	server.TLS = tc
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	defer server.Close()
	certified(t, l.Addr().String(), roots, "http/1.1")
}

// A relay gets its certificate likewise, at the port that it shares between TURN and the control interface, or has for TURN alone.
func TestRelaysGetCertificates(t *testing.T) {
	for name, change := range map[string]func(*NodeConfig){
		"node": func(*NodeConfig) {},
		"alone": func(c *NodeConfig) {
			c.Link, c.AuthSecret, c.Budgets.User = NodeLink{}, "env:CAUSEWAY_TEST_NODE_KEY", config.Unlimited
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp4", "127.0.0.1:0") // the authority has to know the port before
			if err != nil {
				t.Fatal(err)
			}
			addr := l.Addr().String()
			l.Close()
			acme, roots := pebble(t, l.Addr().(*net.TCPAddr).Port)
			startNode(t, func(c *NodeConfig) {
				c.TLSListen, c.TLS, c.Link.Listen = addr, acme, ""
				change(c)
			})
			if p := certified(t, addr, roots, "stun.turn").ConnectionState().NegotiatedProtocol; p != "stun.turn" {
				t.Errorf("protocol %q", p)
			}
		})
	}
}

// loopbackDNS answers every question for an address with 127.0.0.1, over TCP as Pebble asks.
func loopbackDNS(t *testing.T) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l.Addr().String()
}
