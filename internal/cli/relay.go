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

// relayCommand runs the relay alone: for other people's applications, or as a node of a Causeway elsewhere.
type relayCommand struct {
	TURNListen   string `name:"turn-listen" default:":3478" help:"Address of STUN and TURN, UDP and TCP. Port 0 picks a free one."`
	TLSListen    string `name:"tls-listen" placeholder:"ADDRESS" help:"Address of TURN over TLS, such as :5349; of a node, also of its control interface, such as :443."`
	relayTLS     `embed:""`
	OpsListen    string           `name:"ops-listen" placeholder:"ADDRESS" help:"Address of /healthz, /readyz and /metrics, over HTTP."`
	PublicIP     netip.Addr       `name:"public-ip" placeholder:"ADDRESS" help:"Address under which peers reach the relay, if it is behind NAT."`
	RelayPorts   config.PortRange `name:"relay-ports" default:"49152-65535" help:"UDP ports for relayed addresses."`
	Realm        string           `default:"cw" help:"Authentication realm."`
	relayLink    `embed:""`
	AuthSecret   string `name:"auth-secret" placeholder:"REF" help:"In the place of coturn: Secret reference (env:NAME, file:/path) to the secret that credentials are made with (TURN REST, coturn's static-auth-secret)."`
	Loopback     bool   `name:"allow-loopback-peers" help:"For tests: let credentials reach every UDP service of this machine by its loopback addresses. Also lifts the budgets, and the limits by user and by source."`
	Allocations  int    `default:"10000" help:"Most allocations at once."`
	PerUser      int    `name:"allocations-per-user" default:"100" help:"Most allocations at once of one user (the part of the name behind the colon)."`
	PerSource    int    `name:"allocations-per-source" default:"1000" help:"Most allocations at once from one IPv4 address or IPv6 /64."`
	Permissions  int    `default:"64" help:"Most peer addresses of an allocation."`
	MaxBPS       int    `name:"max-bytes-per-second" default:"268435456" help:"Most bytes a second of one user, over all its allocations."`
	LogLevel     string `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"Least level to log: ${enum}."`
	LogFormat    string `name:"log-format" default:"text" enum:"text,json" help:"Form of the log: ${enum}."`
	DataDir      string `name:"data-dir" placeholder:"DIR" help:"Where the budgets' ledger is kept. By default the directory relay in $$STATE_DIRECTORY, $$XDG_STATE_HOME/causeway or ~/.local/state/causeway."`
	relayBudgets `embed:""`
	Drain        time.Duration `name:"drain-timeout" default:"10s" help:"How long SIGTERM waits for allocations to end."`
}

// relayTLS is where the certificate comes from.
type relayTLS struct {
	Cert       string   `name:"tls-cert" placeholder:"FILE" help:"Certificate chain (PEM) for TLS. Read again when the file changes."`
	Key        string   `name:"tls-key" placeholder:"FILE" help:"Key (PEM) of the certificate."`
	ACMEDomain []string `name:"acme-domain" placeholder:"NAME" help:"Get certificates for these names from an ACME authority, in the place of files. The relay must be reachable on port 443 (--tls-listen :443) under each."`
	ACMEEmail  string   `name:"acme-email" placeholder:"ADDRESS" help:"Contact for the ACME authority."`
	ACMECA     string   `name:"acme-ca" placeholder:"URL" help:"Directory URL of the ACME authority. By default Let's Encrypt."`
	ACMERoot   string   `name:"acme-root" placeholder:"FILE" help:"Root certificate (PEM) of the ACME authority, if it is a private one."`
}

// relayLink makes the relay a node.
type relayLink struct {
	NodeKey       string         `name:"node-key" placeholder:"REF" help:"As a node of a Causeway elsewhere: secret reference (env:NAME, file:/path) to the node's key, which comes from: causeway node key NAME."`
	Control       string         `name:"control" placeholder:"URL" help:"Of a node: where that Causeway is, such as https://send.example.org. It leases the bytes that may be relayed. Without it the node keeps its own books (--budget-…)."`
	ControlListen string         `name:"control-listen" placeholder:"ADDRESS" help:"Of a node: address of its control interface over plain HTTP, on loopback, for a proxy or a test. By default HTTPS at --tls-listen."`
	Tell          []string       `name:"tell" placeholder:"URL" help:"Of a node without --control: function app that is told when a session's budget is nearly or wholly spent, such as https://app.azurewebsites.net; can be repeated."`
	ControlWindow time.Duration  `name:"control-window" default:"60s" help:"Of a node: how long running calls outlive a control plane that can't be reached, on the bytes that are leased."`
	PeerAllow     []netip.Prefix `name:"peer-allow" placeholder:"PREFIX" help:"Addresses (CIDR) that peers may have whatever the policy says."`
	SourcePin     string         `name:"relay-source-pin" default:"soft" enum:"soft,strict" help:"Of a node: what becomes of a credential that is used from another network than first, and than its member signals from (${enum}): soft counts it, strict refuses it."`
	PeerDeny      []netip.Prefix `name:"peer-deny" placeholder:"PREFIX" help:"Addresses (CIDR) that peers may not have, besides private and special ones."`
}

// relayBudgets bounds what the relay's users cost.
type relayBudgets struct {
	Session config.Size `name:"budget-session" default:"4GiB" help:"Most bytes relayed for one session, of a node without --control."`
	User    config.Size `name:"budget-user" default:"unlimited" help:"Most bytes relayed for one user."`
	Day     config.Size `name:"budget-day" default:"100GiB" help:"Most bytes relayed in a day (UTC), or unlimited."`
	Month   config.Size `name:"budget-month" default:"1TiB" help:"Most bytes relayed in a month (UTC), or unlimited."`
}

func (c *relayCommand) Run(ctx context.Context, s streams) error {
	log, err := newLogger(s.err, c.LogLevel, c.LogFormat)
	if err != nil {
		return usageError{err}
	}
	if err := c.check(); err != nil {
		return hinted{usageError{err}, "see: causeway relay --help"}
	}
	if c.DataDir == "" {
		c.DataDir = filepath.Join(config.DefaultDataDir(), "relay")
	}
	// A goroutine that waits for packets keeps a P for up to 10 ms (package relay/udp), and
	// there are two a core: they shall not keep the others from running.
	cores := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3 * cores))
	n, err := app.NewNode(ctx, app.NodeConfig{
		TURNListen: c.TURNListen, TLSListen: c.TLSListen, OpsListen: c.OpsListen, TLS: config.TLS(c.relayTLS),
		PublicIP: c.PublicIP, Ports: c.RelayPorts, Realm: c.Realm, AuthSecret: c.AuthSecret,
		Allocations: c.Allocations, AllocationsPerUser: c.PerUser, AllocationsPerSource: c.PerSource,
		Permissions: c.Permissions, BytesPerSecond: c.MaxBPS, Drain: c.Drain, Shards: cores,
		Peers:   app.NodePeers{Allow: c.PeerAllow, Deny: c.PeerDeny, StrictPin: c.SourcePin == "strict", AllowLoopback: c.Loopback},
		Link:    app.NodeLink{Key: c.NodeKey, Control: c.Control, Listen: c.ControlListen, Window: c.ControlWindow, Session: c.Session, Tell: c.Tell},
		Budgets: app.NodeBudgets{Dir: c.DataDir, User: c.User, Day: c.Day, Month: c.Month},
	}, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "another program has this port; choose others with --turn-listen (port 0 picks a free one)"}
	}
	if err != nil {
		return err
	}
	if err := c.welcome(s, n); err != nil {
		return errors.Join(err, n.Close())
	}
	err = n.Run(ctx)
	if errors.Is(err, app.ErrNodeDenied) {
		return hinted{err, "list this node in relay_node there, under the name in its key, and make the key with that server's signing key: causeway node key NAME"}
	}
	return err
}

// check tells what does not go together.
func (c *relayCommand) check() error {
	switch {
	case c.NodeKey == "" && c.AuthSecret == "":
		return errors.New("give --node-key, for a node of a Causeway elsewhere, or --auth-secret, in the place of coturn")
	case c.NodeKey != "" && c.AuthSecret != "":
		return errors.New("--node-key and --auth-secret don't go together: run two relays")
	case c.NodeKey == "" && c.Control+c.ControlListen != "":
		return errors.New("--control and --control-listen are for a node, which has a --node-key")
	case len(c.Tell) > 0 && (c.NodeKey == "" || c.Control != ""):
		return errors.New("--tell is for a node without --control, which keeps its own books")
	case c.Cert != "" && len(c.ACMEDomain) > 0:
		return errors.New("give either a certificate or an ACME domain")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case c.ControlWindow < time.Second:
		return errors.New("--control-window must be at least 1s")
	}
	return nil
}

// welcome says where the relay is: for people, and for scripts that wait for it.
func (c *relayCommand) welcome(s streams, n *app.Node) error {
	who := "Causeway's relay"
	if n.Name() != "" {
		who = "Causeway's relay node " + n.Name()
	}
	text := fmt.Sprintf("%s is listening on %s (STUN and TURN, UDP and TCP).\n", who, n.Addr())
	for _, u := range n.ControlURLs() {
		text += "Its control interface is " + u + "\n"
	}
	_, err := fmt.Fprint(s.out, text, "Ctrl-C ends it.\n")
	return err
}
