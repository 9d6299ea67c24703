package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/app/certs"
	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/liblog"
	"causeway/internal/ops"
	"causeway/internal/relay"
	"causeway/internal/relay/demux"
	"causeway/internal/relay/policy"
	"causeway/internal/secret"
)

// NodeConfig is what a relay by itself runs with: a drop-in for coturn with
// use-auth-secret, or a node of a Causeway elsewhere.
type NodeConfig struct {
	TURNListen string
	TLSListen  string     // with TLS: TURN over TLS, and the control interface; empty: none
	TLS        config.TLS // certificate
	OpsListen  string     // health and metrics; empty: none
	PublicIP   netip.Addr
	Ports      config.PortRange
	Realm      string
	AuthSecret string   // secret reference; empty for a node
	Link       NodeLink // or this

	Budgets                                               NodeBudgets
	Peers                                                 NodePeers
	Allocations, AllocationsPerUser, AllocationsPerSource int
	Permissions, BytesPerSecond                           int
	Shards                                                int // sockets for UDP clients; 0: one a core
	Drain                                                 time.Duration
}

// NodeBudgets bounds what a relay's users cost: a user, for as long as it is heard of once a
// day, and all of them in a day and a month (UTC). Dir keeps the ledger.
type NodeBudgets struct {
	Dir              string
	User, Day, Month config.Size
}

// NodePeers is whom clients reach, and who clients are.
type NodePeers struct {
	Allow, Deny []netip.Prefix // besides the policy
	StrictPin   bool           // a credential is refused elsewhere than where it was first
	// AllowLoopback makes this machine's own services reachable. It is for tests, and lifts
	// the budgets, and the limits by user and by source, which tests all come from.
	AllowLoopback bool
}

// Node is a relay by itself.
type Node struct {
	cfg   NodeConfig
	log   *slog.Logger
	ops   *ops.Ops
	relay *relay.Server
	users *users       // nil: no TURN REST, or without budgets
	link  *link        // nil: no node of a Causeway
	admin net.Listener // nil: none
}

// NewNode opens the sockets. Close a Node that isn't run.
func NewNode(ctx context.Context, cfg NodeConfig, logger *slog.Logger) (*Node, error) {
	n := &Node{cfg: cfg, log: logger, ops: ops.New()}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	if n.cfg.Peers.AllowLoopback {
		n.log.Warn("ALLOW_LOOPBACK_PEERS IS ON: whoever has a credential reaches every UDP service of this machine; for tests only")
	}
	c := relay.Config{
		Shards: n.cfg.Shards, Listen: n.cfg.TURNListen, PublicIP: n.cfg.PublicIP, MinPort: n.cfg.Ports.First, MaxPort: n.cfg.Ports.Last,
		Realm: n.cfg.Realm, Limits: n.limits(),
		Policy:       policy.Policy{Level: policy.P1, AllowLoopback: n.cfg.Peers.AllowLoopback, Allow: n.cfg.Peers.Allow, Deny: n.cfg.Peers.Deny},
		StrictSource: n.cfg.Peers.StrictPin,
		Logger:       n.log.With("part", "relay"), Registerer: n.ops.Registry,
	}
	authorize := n.openSecret
	if n.cfg.Link.Key != "" {
		authorize = n.openLink
	}
	if err := authorize(ctx, &c); err != nil {
		return err
	}
	var err error
	if n.relay, err = relay.New(c); err != nil {
		return fmt.Errorf("turn_listen: %w", err)
	}
	if err := n.openTLS(ctx); err != nil {
		return err
	}
	if n.link != nil {
		if err := n.openControl(); err != nil {
			return err
		}
	}
	if n.cfg.OpsListen != "" {
		if n.admin, err = net.Listen("tcp", n.cfg.OpsListen); err != nil {
			return fmt.Errorf("ops_listen: %w", err)
		}
	}
	return nil
}

func (n *Node) limits() relay.Limits {
	l := relay.Limits{
		Allocations: n.cfg.Allocations, AllocationsPerHolder: n.cfg.AllocationsPerUser, AllocationsPerSource: n.cfg.AllocationsPerSource,
		Permissions: n.cfg.Permissions, BytesPerSecond: n.cfg.BytesPerSecond,
	}
	if n.cfg.Peers.AllowLoopback {
		l.AllocationsPerHolder, l.AllocationsPerSource = l.Allocations, l.Allocations
	}
	return l
}

// openSecret completes the configuration of a relay for TURN REST.
func (n *Node) openSecret(ctx context.Context, c *relay.Config) error {
	ref, err := secret.ParseRef(n.cfg.AuthSecret)
	if err != nil {
		return fmt.Errorf("auth_secret: %w", err)
	}
	key, err := secret.Resolve(ctx, ref)
	if err != nil {
		return fmt.Errorf("auth_secret: %w", err)
	}
	if key.Reveal() == "" {
		return errors.New("auth_secret: it is empty")
	}
	secrets := [][]byte{[]byte(key.Reveal())}
	c.Secrets = func() [][]byte { return secrets }
	if err := n.openBudgets(); err != nil {
		return err
	}
	if n.users != nil {
		c.Ledger = n.users
	}
	return nil
}

func (n *Node) openBudgets() error {
	if n.cfg.Peers.AllowLoopback {
		return nil
	}
	limit := func(s config.Size) budget.Cap { return budget.Cap{Bytes: int64(s)} }
	l, err := budget.New(budget.Config{
		Dir:     filepath.Join(n.cfg.Budgets.Dir, budgetDir),
		Session: limit(n.cfg.Budgets.User), Day: limit(n.cfg.Budgets.Day), Month: limit(n.cfg.Budgets.Month),
		MemberShare: 100, Logger: n.log.With("part", "budget"), Registerer: n.ops.Registry,
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	n.users = newUsers(l)
	return nil
}

func (n *Node) openTLS(ctx context.Context) error {
	if n.cfg.TLSListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", n.cfg.TLSListen)
	if err != nil {
		return fmt.Errorf("tls_listen: %w", err)
	}
	t, err := certs.TLS(ctx, n.cfg.TLS, n.cfg.Budgets.Dir, l.Addr().(*net.TCPAddr).Port, n.log)
	if err == nil && t == nil {
		err = errors.New("tls_listen: without a certificate")
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if n.link == nil {
		t.NextProtos = append([]string{demux.ALPN}, slices.DeleteFunc(t.NextProtos, isHTTP)...) // ACME's stays
		n.relay.Attach(tls.NewListener(l, t), true)
		return nil
	}
	n.link.secure(l, t, n.cfg.TLS)
	n.relay.Attach(n.link.shared.Relay(), true)
	return nil
}

func isHTTP(proto string) bool { return proto == "h2" || proto == "http/1.1" }

// Addr is where the relay listens.
func (n *Node) Addr() netip.AddrPort { return n.relay.Addr() }

// Run serves until ctx ends. Then it makes no new allocations, gives the live ones the time
// of NodeConfig.Drain, and ends.
func (n *Node) Run(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	settled, settle := context.WithCancel(context.WithoutCancel(ctx)) // ends when the relay has
	defer settle()
	g.Go(func() error {
		defer settle()
		return n.relay.Run(late)
	})
	if n.link != nil {
		n.link.run(late, settled, g)
	}
	if n.users != nil {
		g.Go(func() error { return n.users.run(late) })
		g.Go(func() error { return n.users.Run(late) })
	}
	if n.admin != nil {
		mux := http.NewServeMux()
		n.ops.Routes(mux)
		g.Go(func() error { return serveNode(late, n.admin, mux, n.log) })
	}
	g.Go(func() error {
		defer cancel()
		<-gctx.Done()
		n.ops.SetReady(false)
		n.link.drain()
		if n.cfg.Drain > 0 && ctx.Err() != nil {
			n.log.Info("draining", "allocations", n.relay.Allocations())
			dctx, done := context.WithTimeout(late, n.cfg.Drain)
			defer done()
			if err := n.relay.Drain(dctx); err != nil {
				n.log.Info("allocations are cut", "allocations", n.relay.Allocations())
			}
		}
		return nil
	})
	n.ops.SetReady(true)
	err := g.Wait()
	if n.users != nil { // the relay has settled
		err = errors.Join(err, n.users.Close())
	}
	return errors.Join(err, n.link.closeBooks())
}

// serveNode serves HTTP until ctx ends.
func serveNode(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	srv := &http.Server{Handler: demux.Handler(h), ConnContext: demux.ConnContext, ReadHeaderTimeout: headerTimeout, ReadTimeout: idleTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(liblog.HTTP{Log: logger.With("part", "http")}, "", 0)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // Serve says so
	defer stop()
	err := srv.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || ctx.Err() != nil && errors.Is(err, net.ErrClosed) { // whoever owns l ends with ctx, too
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

// Close releases the sockets of a Node that isn't run.
func (n *Node) Close() error {
	var errs []error
	if n.relay != nil {
		errs = append(errs, n.relay.Close())
	}
	if n.users != nil {
		errs = append(errs, n.users.Close())
	}
	if n.admin != nil {
		errs = append(errs, n.admin.Close())
	}
	errs = append(errs, n.link.close())
	return errors.Join(errs...)
}
