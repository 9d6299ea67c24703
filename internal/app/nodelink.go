package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/config"
	"causeway/internal/httpx"
	"causeway/internal/ops"
	"causeway/internal/relay"
	"causeway/internal/relay/control"
	"causeway/internal/relay/demux"
	"causeway/internal/relay/policy"
	"causeway/internal/secret"
)

// NodeLink makes a relay a node of a Causeway elsewhere.
type NodeLink struct {
	Key     string        // secret reference to what NodeKey returns; empty: no node
	Control string        // URL of the control plane; empty: the node keeps its own books
	Listen  string        // of the control interface over plain HTTP, on loopback; empty: with TLS only
	Window  time.Duration // that grants outlive the control plane
	Session config.Size   // budget of one session, in own books
	Tell    []string      // URLs of function apps, which are told when that is spent
}

// ErrNodeDenied: the control plane does not know the node's key.
var ErrNodeDenied = control.ErrDenied

// NodeKey returns the key of the relay node called name: a secret.
func NodeKey(ctx context.Context, cfg config.Config, name string) (string, error) {
	if err := control.CheckName(name); err != nil {
		return "", err
	}
	signing, err := signingKey(ctx, cfg, resolver(cfg).Resolve)
	if err != nil {
		return "", err
	}
	key, err := control.NewKey(signing, name)
	if err != nil {
		return "", err
	}
	return key.Text(), nil
}

// link is a node's side of the control link. A nil link is none.
type link struct {
	node     *Node
	key      control.Key
	realm    string
	uplink   *control.Uplink // nil: own books
	books    *books          // nil: an uplink
	api      *control.API
	draining atomic.Bool

	shared *demux.Demux // of the TLS listener; nil: there is none
	name   string       // that the certificate is for; may be empty
	port   int          // of shared
	plain  net.Listener // nil: none
}

// openLink completes the configuration of a node's relay.
func (n *Node) openLink(ctx context.Context, c *relay.Config) error {
	ref, err := secret.ParseRef(n.cfg.Link.Key)
	if err != nil {
		return fmt.Errorf("node_key: %w", err)
	}
	text, err := secret.Resolve(ctx, ref)
	if err != nil {
		return fmt.Errorf("node_key: %w", err)
	}
	n.link = &link{node: n, realm: c.Realm}
	if n.link.key, err = control.ParseKey(text.Reveal()); err != nil {
		return fmt.Errorf("node_key: %s holds %w", ref, err)
	}
	c.GrantKey, c.NodeKID = n.link.key.TURN()
	c.Policy.Level = policy.P2
	c.Limits.AllocationsPerHolder, c.Limits.Permissions = 0, 0 // a pair's are few, and the relay knows how many
	if n.cfg.Link.Control == "" {
		if n.link.books, err = newBooks(n.cfg, n.log, n.ops); err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		for _, url := range n.cfg.Link.Tell {
			t, err := control.NewTeller(url, n.link.key, nil)
			if err != nil {
				return fmt.Errorf("tell: %w", err)
			}
			n.link.books.tellers = append(n.link.books.tellers, t)
		}
		c.Ledger, c.Chunk = n.link.books, chunkOf(n.cfg.Link.Session)
		return nil
	}
	n.link.uplink, err = control.NewUplink(control.UplinkConfig{
		Control: n.cfg.Link.Control, Key: n.link.key, Status: n.link.status, Window: n.cfg.Link.Window,
		Outlive: func(d time.Duration) { n.relay.Outlive(d) }, Logger: n.log.With("part", "control"), Registerer: n.ops.Registry,
	})
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	c.Ledger = n.link.uplink
	return nil
}

// openControl opens the interface that the control plane calls.
func (n *Node) openControl() (err error) {
	l := n.link
	if at := n.cfg.Link.Listen; at != "" {
		if !httpx.IsLoopbackHost(at) {
			return fmt.Errorf("control_listen: %s is not loopback; elsewhere it is HTTPS, at tls_listen", at)
		}
		if l.plain, err = net.Listen("tcp", at); err != nil {
			return fmt.Errorf("control_listen: %w", err)
		}
	} else if l.shared == nil {
		return errors.New("a node needs tls_listen with a certificate for its control interface, or control_listen on loopback")
	}
	c := control.APIConfig{Key: l.key, Relay: n.relay, Status: l.status, Logger: n.log.With("part", "control"), Registerer: n.ops.Registry}
	if l.books != nil {
		c.Open, c.Close, c.Declare = l.books.open, l.books.end, l.books.declare
	}
	l.api, err = control.NewAPI(c)
	return err
}

// secure shares a TLS listener between TURN and the control interface.
func (l *link) secure(on net.Listener, t *tls.Config, from config.TLS) {
	t = t.Clone()
	t.NextProtos = append(t.NextProtos, demux.ALPN)
	l.shared, l.port, l.name = demux.New(on, t), on.Addr().(*net.TCPAddr).Port, certificateName(from)
}

// certificateName is the name that clients are to use; empty if the certificate has none.
func certificateName(from config.TLS) string {
	if len(from.ACMEDomain) > 0 {
		return from.ACMEDomain[0]
	}
	b, err := os.ReadFile(from.Cert) // which was read before
	if err != nil {
		return ""
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return ""
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(c.DNSNames, func(name string) bool { return !strings.Contains(name, "*") })
	if i < 0 {
		return ""
	}
	return c.DNSNames[i]
}

// status is what the node says of itself.
func (l *link) status() control.Status {
	urls := l.node.relay.URLs()
	if l.shared != nil && l.name != "" {
		urls = append(urls, "turns:"+net.JoinHostPort(l.name, strconv.Itoa(l.port))+"?transport=tcp")
	}
	return control.Status{
		Name: l.key.Name(), Version: ops.Version(), URLs: urls, Realm: l.node.relay.Realm(), Allocations: l.node.relay.Allocations(),
		Draining: l.draining.Load(), CutOff: l.uplink != nil && l.uplink.CutOff(),
	}
}

// run serves the control plane until ctx ends; the uplink, until settled does.
func (l *link) run(ctx, settled context.Context, g *errgroup.Group) {
	mux := http.NewServeMux()
	l.api.Routes(mux)
	if l.shared != nil {
		g.Go(func() error { return l.shared.Run(ctx) })
		g.Go(func() error { return serveNode(ctx, l.shared.HTTP(), mux, l.node.log) })
	}
	if l.plain != nil {
		g.Go(func() error { return serveNode(ctx, l.plain, mux, l.node.log) })
	}
	if l.uplink != nil {
		g.Go(func() error { return l.uplink.Run(settled) })
	}
	if l.books != nil {
		g.Go(func() error { return l.books.Ledger.Run(settled) })
		g.Go(func() error { return l.books.run(settled) })
		g.Go(func() error { return l.books.tell(settled) })
	}
}

// drain refuses new grants, and has the control plane give the members other relays.
func (l *link) drain() {
	if l == nil {
		return
	}
	l.draining.Store(true)
	if l.uplink != nil {
		l.uplink.Changed()
	}
}

// closeBooks writes the own books, when the relay has settled.
func (l *link) closeBooks() error {
	if l == nil || l.books == nil {
		return nil
	}
	return l.books.Close()
}

func (l *link) close() error {
	if l == nil {
		return nil
	}
	errs := []error{l.closeBooks()}
	if l.shared != nil {
		errs = append(errs, l.shared.Close())
	}
	if l.plain != nil {
		errs = append(errs, l.plain.Close())
	}
	return errors.Join(errs...)
}

// ControlURLs are where the control plane reaches a node; none for other relays.
func (n *Node) ControlURLs() (urls []string) {
	if n.link == nil {
		return nil
	}
	if n.link.shared != nil {
		host := n.link.name
		if host == "" {
			host = n.relay.Addr().Addr().String()
		}
		urls = append(urls, "https://"+net.JoinHostPort(host, strconv.Itoa(n.link.port)))
	}
	if n.link.plain != nil {
		urls = append(urls, "http://"+n.link.plain.Addr().String())
	}
	return urls
}

// Name is that of a node; empty for other relays.
func (n *Node) Name() string {
	if n.link == nil {
		return ""
	}
	return n.link.key.Name()
}
