package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"causeway/internal/app"
	"causeway/internal/config"
)

// relayCommand runs the relay alone, for other people's applications.
type relayCommand struct {
	TURNListen   string           `name:"turn-listen" default:":3478" help:"Address of STUN and TURN, UDP and TCP. Port 0 picks a free one."`
	TLSListen    string           `name:"tls-listen" placeholder:"ADDRESS" help:"Address of TURN over TLS, such as :5349."`
	Cert         string           `name:"tls-cert" placeholder:"FILE" help:"Certificate chain (PEM) for TLS. Read again when the file changes."`
	Key          string           `name:"tls-key" placeholder:"FILE" help:"Key (PEM) of the certificate."`
	OpsListen    string           `name:"ops-listen" placeholder:"ADDRESS" help:"Address of /healthz, /readyz and /metrics, over HTTP."`
	PublicIP     netip.Addr       `name:"public-ip" placeholder:"ADDRESS" help:"Address under which peers reach the relay, if it is behind NAT."`
	RelayPorts   config.PortRange `name:"relay-ports" default:"49152-65535" help:"UDP ports for relayed addresses."`
	Realm        string           `default:"cw" help:"Authentication realm."`
	AuthSecret   string           `name:"auth-secret" required:"" placeholder:"REF" help:"Secret reference (env:NAME, file:/path) to the secret that credentials are made with (TURN REST, coturn's static-auth-secret)."`
	Loopback     bool             `name:"allow-loopback-peers" help:"For tests: let credentials reach every UDP service of this machine by its loopback addresses. Also lifts the budgets, and the limits by user and by source."`
	Allocations  int              `default:"10000" help:"Most allocations at once."`
	PerUser      int              `name:"allocations-per-user" default:"100" help:"Most allocations at once of one user (the part of the name behind the colon)."`
	PerSource    int              `name:"allocations-per-source" default:"1000" help:"Most allocations at once from one IPv4 address or IPv6 /64."`
	Permissions  int              `default:"64" help:"Most peer addresses of an allocation."`
	MaxBPS       int              `name:"max-bytes-per-second" default:"268435456" help:"Most bytes a second of one user, over all its allocations."`
	LogLevel     string           `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"Least level to log: ${enum}."`
	LogFormat    string           `name:"log-format" default:"text" enum:"text,json" help:"Form of the log: ${enum}."`
	DataDir      string           `name:"data-dir" placeholder:"DIR" help:"Where the budgets' ledger is kept. By default the directory relay in $$STATE_DIRECTORY, $$XDG_STATE_HOME/causeway or ~/.local/state/causeway."`
	relayBudgets `embed:""`
	Drain        time.Duration `name:"drain-timeout" default:"10s" help:"How long SIGTERM waits for allocations to end."`
}

// relayBudgets bounds what the relay's users cost.
type relayBudgets struct {
	User  config.Size `name:"budget-user" default:"unlimited" help:"Most bytes relayed for one user."`
	Day   config.Size `name:"budget-day" default:"100GiB" help:"Most bytes relayed in a day (UTC), or unlimited."`
	Month config.Size `name:"budget-month" default:"1TiB" help:"Most bytes relayed in a month (UTC), or unlimited."`
}

func (c *relayCommand) Run(ctx context.Context, s streams) error {
	log, err := newLogger(s.err, c.LogLevel, c.LogFormat)
	if err != nil {
		return usageError{err}
	}
	if c.DataDir == "" {
		c.DataDir = filepath.Join(config.DefaultDataDir(), "relay")
	}
	// A goroutine that waits for packets keeps a P for up to 10 ms (package relay/udp), and
	// there are two a core: they shall not keep the others from running.
	cores := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3 * cores))
	n, err := app.NewNode(ctx, app.NodeConfig{
		TURNListen: c.TURNListen, TLSListen: c.TLSListen, OpsListen: c.OpsListen, Cert: c.Cert, Key: c.Key,
		PublicIP: c.PublicIP, Ports: c.RelayPorts, Realm: c.Realm, AuthSecret: c.AuthSecret,
		AllowLoopback: c.Loopback, Allocations: c.Allocations, AllocationsPerUser: c.PerUser, AllocationsPerSource: c.PerSource,
		Permissions: c.Permissions, BytesPerSecond: c.MaxBPS, Drain: c.Drain, Shards: cores,
		Budgets: app.NodeBudgets{Dir: c.DataDir, User: c.User, Day: c.Day, Month: c.Month},
	}, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "another program has this port; choose others with --turn-listen (port 0 picks a free one)"}
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "Causeway's relay is listening on %s (STUN and TURN, UDP and TCP).\nCtrl-C ends it.\n", n.Addr()); err != nil {
		return errors.Join(err, n.Close())
	}
	return n.Run(ctx)
}
