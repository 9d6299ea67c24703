package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/liblog"
)

// testConfig listens on free ports of loopback.
func testConfig(t *testing.T) config.Config {
	t.Helper()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.TURNListen, c.DataDir = "localhost:0", "127.0.0.1:0", t.TempDir()
	return c
}

// start runs an App until stop is called, which returns what Run did.
func start(t *testing.T, c config.Config) (a *App, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a, err := New(ctx, c, Options{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() error {
		cancel()
		return <-ended
	}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestRunAndEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	a, stop := start(t, testConfig(t))
	client := &http.Client{Transport: &http.Transport{}}
	base := a.URLs()[0]
	if !strings.HasPrefix(base, "http://localhost:") {
		t.Errorf("the address to open is %s", base)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/nothing": 404, "/client/negotiate": 405} {
		if status, body := get(t, client, base+path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	r, err := client.Post(base+"/api/sessions", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var session struct{ Base string }
	if err := json.NewDecoder(r.Body).Decode(&session); err != nil || r.StatusCode != 201 || session.Base != base {
		t.Errorf("%d %v %+v", r.StatusCode, err, session)
	}
	r.Body.Close()
	if r.Header.Get("Content-Security-Policy") == "" {
		t.Error("no security headers")
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	// Goroutines of closed connections end a moment later; wait for that, no longer than it takes.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("goroutines left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// The relay is off where the configuration says so; its peers get an empty list.
func TestRelayOff(t *testing.T) {
	c := testConfig(t)
	c.TURNListen = config.TURNOff
	a, stop := start(t, c)
	if u := a.RelayURLs(); len(u) != 0 {
		t.Errorf("relay addresses: %v", u)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, set := range []func(*config.Config){
		func(c *config.Config) { c.Listen = l.Addr().String() },
		func(c *config.Config) { c.TURNListen = l.Addr().String() },
	} {
		c := testConfig(t)
		set(&c)
		if _, err := New(t.Context(), c, Options{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("a taken port: %v", err)
		}
	}
}

// writeCert writes a self-signed certificate for localhost, with a serial number.
func writeCert(t *testing.T, c config.Config, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var certPEM, keyPEM bytes.Buffer
	if err := pem.Encode(&certPEM, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		t.Fatal(err)
	}
	if err := pem.Encode(&keyPEM, &pem.Block{Type: "PRIVATE KEY", Bytes: pk}); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{c.Key: keyPEM.Bytes(), c.Cert: certPEM.Bytes()} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTLSFromFiles(t *testing.T) {
	c := testConfig(t)
	c.Cert, c.Key = filepath.Join(c.DataDir, "cert.pem"), filepath.Join(c.DataDir, "key.pem")
	if _, err := New(t.Context(), c, Options{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a missing certificate was accepted")
	}
	roots := x509.NewCertPool()
	roots.AddCert(writeCert(t, c, 1))
	a, stop := start(t, c)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	if status, _ := get(t, client, a.URLs()[0]+"/healthz"); status != 200 || !strings.HasPrefix(a.URLs()[0], "https://localhost:") {
		t.Errorf("%s: %d", a.URLs()[0], status)
	}
	client.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestErrorLogNamesNobody(t *testing.T) {
	var b bytes.Buffer
	l := liblog.HTTP{Log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, line := range []string{"http: TLS handshake error from 192.0.2.7:4711: EOF", "http: panic serving [2001:db8::7]:80: boom\ngoroutine 1"} {
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.String(); strings.Contains(got, "192.0.2.7") || strings.Contains(got, "db8") || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "EOF") {
		t.Error(got)
	}
}
