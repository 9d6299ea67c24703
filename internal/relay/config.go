package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

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
	// Realm is the authentication realm, or, for clients over UDP, what it begins with.
	// "cw" by default: each byte of it is sent to whoever asks without credentials.
	Realm string
	// Secrets returns the secrets that credentials are minted with, the current one
	// first. It is called for each request to allocate, by several goroutines.
	Secrets func() [][]byte
	// MinPort and MaxPort bound the ports of relayed addresses, inclusive. Both
	// zero: the operating system's choice.
	MinPort, MaxPort uint16
	Limits           Limits
	// Logger may be nil, for none. No address and no credential is logged.
	Logger *slog.Logger
	// Registerer gets the metrics, causeway_relay_…; nil for none.
	Registerer prometheus.Registerer

	now func() time.Time // tests move it; nil is time.Now
}

// Limits bounds what clients can make the server hold. A zero field takes its default.
type Limits struct {
	Allocations          int // live ones in total; 4096
	AllocationsPerHolder int // of the credentials of one holder; 12
	AllocationsPerSource int // from one IPv4 address or IPv6 /64; 256
	Permissions          int // per allocation, and as many channels; 64
	Connections          int // TCP connections in total; 4096
	ConnectionsPerSource int // from one IPv4 address or IPv6 /64; 256
	RequestRate          int // requests per second from a source; 100
	RequestBurst         int // and at once; 400
}

func (c Config) withDefaults() (Config, error) {
	if c.Secrets == nil {
		return c, errors.New("relay: config without secrets")
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
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, c.Limits.setDefaults()
}

func (l *Limits) setDefaults() error {
	for _, f := range []struct {
		value *int
		name  string
		def   int
	}{
		{&l.Allocations, "allocations", 4096},
		{&l.AllocationsPerHolder, "allocations per holder", 12},
		{&l.AllocationsPerSource, "allocations per source", 256},
		{&l.Permissions, "permissions", 64},
		{&l.Connections, "connections", 4096},
		{&l.ConnectionsPerSource, "connections per source", 256},
		{&l.RequestRate, "request rate", 100},
		{&l.RequestBurst, "request burst", 400},
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
