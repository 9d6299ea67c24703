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

	"causeway/internal/config"
)

// A certificate is obtained from a real ACME authority (Let's Encrypt's Pebble),
// which connects back to our listener for the TLS-ALPN challenge.
func TestACME(t *testing.T) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	const domain = "send.example.org"

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	discard := log.New(t.Output(), "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(discard, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	validation := va.New(discard, 0, port, false, loopbackDNS(t), store)
	front := wfe.New(discard, store, validation, authority, []string{"ca.example"}, false, false, 1, 1)
	directory := httptest.NewTLSServer(front.Handler())
	defer directory.Close()

	cfg := config.Config{}
	cfg.DataDir = t.TempDir()
	cfg.ACMEDomain, cfg.ACMECA = []string{domain}, directory.URL+wfe.DirectoryPath
	cfg.ACMERoot = filepath.Join(cfg.DataDir, "root.pem")
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: directory.Certificate().Raw})
	if err := os.WriteFile(cfg.ACMERoot, root, 0o600); err != nil {
		t.Fatal(err)
	}
	tc, err := tlsConfig(t.Context(), cfg, port, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Listener.Close()
	server.Listener = l
	server.TLS = tc
	server.Config.ErrorLog = discard
	server.StartTLS()
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AddCert(authority.GetRootCert(0).Cert)
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: domain, RootCAs: roots}}
	for deadline := time.Now().Add(15 * time.Second); ; {
		// The handshake waits for nothing: until there is a certificate it fails.
		c, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no certificate in time: %v", err)
		}
		<-time.After(50 * time.Millisecond)
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
