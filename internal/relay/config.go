package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"causeway/internal/relay/policy"

	"github.com/prometheus/client_golang/prometheus"
)

// Config configures a Server.
type Config struct {
	// Listen is host:port for UDP and TCP alike. An empty host is every interface,
	// IPv4 and IPv6; port 0 takes a free one.
	Listen string
	// PublicIP is the address that clients and peers reach this server at. Zero: the
	// address listened on, or, listening on every interface, the machine's primary
	// address, looked up again every 10 s at most; loopback if it has no other. If set,
	// relayed addresses are of its family only.
	PublicIP netip.Addr
	// Realm is the authentication realm, "cw" by default: each byte of it is sent to
	// whoever asks without credentials.
	Realm string
	// GrantKey is the node's key for credentials that name a grant, at least 16 bytes, and
	// NodeKID its number in them. Without a key there are no grants.
	GrantKey []byte
	NodeKID  uint16
	// Secrets returns the secrets of TURN REST credentials, the current one first. It is
	// called for each request to allocate, by several goroutines. nil: there are none.
	Secrets func() [][]byte
	// Policy is the operator's part in what peers are allowed. Its level holds for grants that
	// name none, P2 by default; for TURN REST users, of whom nothing is known, P1 at the most.
	Policy policy.Policy
	// StrictSource refuses an Allocate from another address prefix (source.go) than the credential
	// was first used at; else it is only counted. It is not asked of TURN REST users.
	StrictSource bool
	// Ledger is where bytes are leased; nil: they are not limited. Chunk is how many at
	// a time, 4 MiB by default: as much may be lost to a cap when a node dies.
	Ledger Ledger
	Chunk  int64
	// MinPort and MaxPort bound the ports of relayed addresses, inclusive. Both
	// zero: the operating system's choice.
	MinPort, MaxPort uint16
	Limits           Limits
	// Shards is how many sockets and goroutines serve clients over UDP: one a core by default.
	Shards int
	// RelayBuffer is the size in bytes of the system's buffers of a relayed address's socket;
	// 0: 512 KiB, as far as the system gives it.
	RelayBuffer int
	// Logger may be nil, for none. No address and no credential is logged.
	Logger *slog.Logger
	// Registerer gets the metrics, causeway_relay_…; nil for none.
	Registerer prometheus.Registerer

	now   func() time.Time // tests move it; nil is time.Now
	quiet time.Duration    // tests shorten it; 0 is quietAfter
}

// Limits bounds what clients can make the server hold. A zero field takes its default.
type Limits struct {
	Allocations          int // live ones in total; 4096
	AllocationsPerHolder int // of the credentials of one holder; 12
	AllocationsPerSource int // from one IPv4 address or IPv6 /64; 256
	Grants               int // live ones; 65536
	Permissions          int // of an allocation; 16. Peers, by port, are twice as many
	BytesPerSecond       int // of all allocations of a grant; 256 MiB
	PacketsPerSecond     int // likewise; 500000
	Connections          int // TCP connections in total; 4096
	ConnectionsPerSource int // from one IPv4 address or IPv6 /64; 256
	RequestRate          int // requests per second that are not authentic, from a source; 50
	RequestBurst         int // and at once; 200
}

func (c Config) withDefaults() (Config, error) {
	if c.Secrets == nil && len(c.GrantKey) == 0 {
		return c, errors.New("relay: neither a grant key nor secrets: nobody could use it")
	}
	if n := len(c.GrantKey); n > 0 && n < 16 {
		return c, fmt.Errorf("relay: grant key of %d bytes, want 16 or more", n)
	}
	if (c.MinPort == 0) != (c.MaxPort == 0) || c.MinPort > c.MaxPort || c.MinPort != 0 && c.MinPort < 1024 {
		return c, fmt.Errorf("relay: port range %d-%d: want 1024 ≤ min ≤ max, or neither", c.MinPort, c.MaxPort)
	}
	c.PublicIP = c.PublicIP.Unmap().WithZone("")
	if c.PublicIP.IsValid() && (c.PublicIP.IsUnspecified() || c.PublicIP.IsMulticast()) {
		return c, errors.New("relay: the public ip is not an address that a packet can be sent to")
	}
	if c.Realm == "" {
		c.Realm = "cw"
	}
	if len(c.Realm) > 64 {
		return c, errors.New("relay: realm longer than 64 bytes")
	}
	if c.Shards < 0 || c.Chunk < 0 || c.RelayBuffer < 0 {
		return c, errors.New("relay: a negative size")
	}
	if c.Shards == 0 {
		c.Shards = runtime.GOMAXPROCS(0)
	}
	if c.Chunk == 0 {
		c.Chunk = 4 << 20
	}
	if c.RelayBuffer == 0 {
		c.RelayBuffer = 512 << 10
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.quiet == 0 {
		c.quiet = quietAfter
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, c.Limits.setDefaults()
}

// peers is how many an allocation may have, counted by port: behind one NAT there may
// be several.
func (l *Limits) peers() int { return 2 * l.Permissions }

func (l *Limits) setDefaults() error {
	for _, f := range []struct {
		value *int
		name  string
		def   int
	}{
		{&l.Allocations, "allocations", 4096},
		{&l.AllocationsPerHolder, "allocations per holder", 12},
		{&l.AllocationsPerSource, "allocations per source", 256},
		{&l.Grants, "grants", 65536},
		{&l.Permissions, "permissions", 16},
		{&l.BytesPerSecond, "bytes per second", 256 << 20},
		{&l.PacketsPerSecond, "packets per second", 500_000},
		{&l.Connections, "connections", 4096},
		{&l.ConnectionsPerSource, "connections per source", 256},
		{&l.RequestRate, "request rate", 50},
		{&l.RequestBurst, "request burst", 200},
	} {
		if *f.value < 0 {
			return fmt.Errorf("relay: limit of %s is negative", f.name)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return nil
}
