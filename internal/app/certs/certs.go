// Package certs is where listeners get their certificates: from files, which are read again when they change, or from an
// ACME authority, which asks at the listener itself (TLS-ALPN-01, RFC 8737), so that one port is enough.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"causeway/internal/config"
	"causeway/internal/liblog"
)

// TLS returns how the listener at port speaks TLS; nil if c names no certificate. With ACME, certificates are
// obtained and renewed in the background until ctx ends, and kept in a folder of dir.
func TLS(ctx context.Context, c config.TLS, dir string, port int, log *slog.Logger) (*tls.Config, error) {
	switch {
	case c.Cert != "":
		f := &certFile{cert: c.Cert, key: c.Key, log: log}
		if err := f.load(); err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: f.get}, nil
	case len(c.ACMEDomain) > 0:
		return acmeConfig(ctx, c, dir, port, log)
	}
	return nil, nil
}

// certFile is a certificate that is read again when its file changes.
type certFile struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time // modification time of the loaded file
	looked  time.Time // when the file was last looked at
}

// lookEvery is how often, at most, a handshake looks at the file.
const lookEvery = 10 * time.Second

func (f *certFile) load() error {
	st, err := os.Stat(f.cert)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	f.loaded, f.changed = &c, st.ModTime()
	return nil
}

func (f *certFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) > lookEvery {
		f.looked = now
		if st, err := os.Stat(f.cert); err == nil && !st.ModTime().Equal(f.changed) {
			if err := f.load(); err != nil { // the old one serves on
				f.log.Error("certificate not reloaded", "err", err)
			}
		}
	}
	return f.loaded, nil
}

// acmeConfig uses the TLS-ALPN challenge, which needs no second port.
func acmeConfig(ctx context.Context, c config.TLS, dir string, port int, log *slog.Logger) (*tls.Config, error) {
	logger := zap.New(liblog.Zap{Log: log.With("part", "acme")})
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           logger,
	})
	context.AfterFunc(ctx, cache.Stop)
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(dir, "acme")},
		Logger:  logger,
	})
	roots, err := acmeRoots(c.ACMERoot)
	if err != nil {
		return nil, err
	}
	ca := c.ACMECA
	if ca == "" {
		ca = certmagic.LetsEncryptProductionCA
	}
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		CA:                   ca,
		Email:                c.ACMEEmail,
		Agreed:               true,
		TrustedRoots:         roots,
		DisableHTTPChallenge: true,
		AltTLSALPNPort:       port,
		Logger:               logger,
	})}
	if err := magic.ManageAsync(ctx, c.ACMEDomain); err != nil {
		return nil, fmt.Errorf("manage certificates: %w", err)
	}
	t := magic.TLSConfig()
	t.NextProtos = append([]string{"h2", "http/1.1"}, t.NextProtos...)
	return t, nil
}

// acmeRoots returns what the authority's own certificate is checked against; nil
// for the system's roots.
func acmeRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("acme_root: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("acme_root: no certificate in %s", file)
	}
	return pool, nil
}
