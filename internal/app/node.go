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
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/ops"
	"causeway/internal/relay"
	"causeway/internal/relay/demux"
	"causeway/internal/relay/policy"
	"causeway/internal/secret"
)

// NodeConfig is what a relay by itself runs with: a drop-in for coturn with
// use-auth-secret.
type NodeConfig struct {
	TURNListen string
	TLSListen  string // with Cert and Key: TURN over TLS; empty: none
	OpsListen  string // health and metrics; empty: none
	Cert, Key  string
	PublicIP   netip.Addr
	Ports      config.PortRange
	Realm      string
	AuthSecret string // secret reference

	Budgets NodeBudgets

	// AllowLoopback makes this machine's own services reachable. It is for tests, and lifts
	// the budgets, and the limits by user and by source, which tests all come from.
	AllowLoopback                                         bool
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

// Node is a relay by itself.
type Node struct {
	cfg   NodeConfig
	log   *slog.Logger
	ops   *ops.Ops
	relay *relay.Server
	users *users       // nil: without budgets
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
	limits := relay.Limits{
		Allocations: n.cfg.Allocations, AllocationsPerHolder: n.cfg.AllocationsPerUser, AllocationsPerSource: n.cfg.AllocationsPerSource,
		Permissions: n.cfg.Permissions, BytesPerSecond: n.cfg.BytesPerSecond,
	}
	if n.cfg.AllowLoopback {
		n.log.Warn("ALLOW_LOOPBACK_PEERS IS ON: whoever has a credential reaches every UDP service of this machine; for tests only")
		limits.AllocationsPerHolder, limits.AllocationsPerSource = limits.Allocations, limits.Allocations
	}
	if err := n.openBudgets(); err != nil {
		return err
	}
	var ledger relay.Ledger
	if n.users != nil {
		ledger = n.users
	}
	n.relay, err = relay.New(relay.Config{
		Ledger: ledger, Shards: n.cfg.Shards,
		Listen: n.cfg.TURNListen, PublicIP: n.cfg.PublicIP, MinPort: n.cfg.Ports.First, MaxPort: n.cfg.Ports.Last,
		Realm: n.cfg.Realm, Secrets: func() [][]byte { return secrets }, Limits: limits,
		Policy: policy.Policy{Level: policy.P1, AllowLoopback: n.cfg.AllowLoopback},
		Logger: n.log.With("part", "relay"), Registerer: n.ops.Registry,
	})
	if err != nil {
		return fmt.Errorf("turn_listen: %w", err)
	}
	if err := n.openTLS(ctx); err != nil {
		return err
	}
	if n.cfg.OpsListen != "" {
		if n.admin, err = net.Listen("tcp", n.cfg.OpsListen); err != nil {
			return fmt.Errorf("ops_listen: %w", err)
		}
	}
	return nil
}

func (n *Node) openBudgets() error {
	if n.cfg.AllowLoopback {
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
	t, err := tlsConfig(ctx, config.Config{TLS: config.TLS{Cert: n.cfg.Cert, Key: n.cfg.Key}}, 0, n.log)
	if err != nil {
		return err
	}
	if t == nil {
		return errors.New("tls_listen: without a certificate")
	}
	l, err := net.Listen("tcp", n.cfg.TLSListen)
	if err != nil {
		return fmt.Errorf("tls_listen: %w", err)
	}
	t.NextProtos = []string{demux.ALPN}
	n.relay.Attach(tls.NewListener(l, t), true)
	return nil
}

// Addr is where the relay listens.
func (n *Node) Addr() netip.AddrPort { return n.relay.Addr() }

// Run serves until ctx ends. Then it makes no new allocations, gives the live ones the time
// of NodeConfig.Drain, and ends.
func (n *Node) Run(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.relay.Run(late) })
	if n.users != nil {
		g.Go(func() error { return n.users.run(late) })
		g.Go(func() error { return n.users.Run(late) })
	}
	if n.admin != nil {
		mux := http.NewServeMux()
		n.ops.Routes(mux)
		srv := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: log.New(errorLog{n.log.With("part", "http")}, "", 0)}
		stop := context.AfterFunc(late, func() { _ = srv.Close() }) // Serve says so
		defer stop()
		g.Go(func() error {
			if err := srv.Serve(n.admin); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve http: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer cancel()
		<-gctx.Done()
		n.ops.SetReady(false)
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
	return err
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
	return errors.Join(errs...)
}
