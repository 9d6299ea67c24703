package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"

	"github.com/prometheus/client_golang/prometheus"
)

// Config configures a Hub. Keys and at least one handler are required.
type Config struct {
	// Handlers of the named hubs, by lower-case name.
	Handlers map[string]realtime.Handler
	// Fallback finds the handler of any other hub, by lower-case name; nil, or a nil
	// result, is "no such hub".
	Fallback func(hub string) realtime.Handler
	// Keys returns the access keys, the primary one first. Tokens are signed with
	// the first and accepted from all. It is called for each token, so that keys
	// can be rotated.
	Keys accesskey.Keys
	// Hosts that tokens may name in their audience; empty accepts any. Ports and
	// schemes are not looked at, since the SDKs do not agree about them.
	Hosts []string
	// Origins that browsers may connect from; empty accepts any.
	Origins []string
	// Origin (scheme://host[:port]) for Negotiate if Claims.Origin is empty.
	Origin string
	// ClientAddr finds the address that the limit per address counts; nil takes it
	// from RemoteAddr.
	ClientAddr func(*http.Request) netip.Addr
	// Admit is asked about each new connection, and must not wait: status 0, or that of a refusal. Nil admits all.
	Admit func(addr netip.Addr, user string) (status int, text string, retryAfter time.Duration)
	// CloseForGood tells clients which the application closes not to come back.
	// Azure's emulator lets them reconnect, and so does the default.
	CloseForGood bool
	Limits       Limits
	Timing       Timing
	// Node and Broker join hubs into a cluster, see Broker. Node is unique in it,
	// 1 to 32 letters, digits or '-', and is part of connection ids.
	Node   string
	Broker Broker
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Limits bounds what clients can use. Zero values mean the defaults; negative
// ones no limit, where that is possible.
type Limits struct {
	Message        int     // bytes of a message from a client; 1 MiB
	Connections    int     // at the same time; 100 000
	PerAddress     int     // connections of one address; 1000
	Groups         int     // of one connection; 1000
	Rate           float64 // invocations per second and connection; 1000, <0 none
	Burst          int     // invocations at once; 2 × Rate
	Pending        int     // invocations of a connection waiting for their handler; 64
	OutboxMessages int     // messages waiting for a connection to take them; 4096
	OutboxBytes    int     // and their bytes; 4 MiB
	ResumeBytes    int     // messages kept for a stateful reconnect; 256 KiB
	Invocations    int     // client results awaited, of all connections; 10 000
	UserGroups     int     // (user, group) pairs remembered; 100 000
}

// Timing says how long things take. Zero values mean the defaults, which are
// those of ASP.NET and Azure. The hub looks at the clock once a second.
type Timing struct {
	KeepAlive     time.Duration // ping if nothing was sent for this long; 15 s
	ClientTimeout time.Duration // close if nothing was received for this long; 30 s
	Handshake     time.Duration // 15 s
	Attach        time.Duration // from negotiate to connect; 15 s
	Poll          time.Duration // answer an idle long poll; 90 s
	PollGap       time.Duration // between long polls; 15 s
	Write         time.Duration // for a client to take what is written; 10 s
	Linger        time.Duration // for a client to end a closed connection; 5 s
	Resume        time.Duration // for a stateful reconnect; 30 s
	Drain         time.Duration // from the end of Run's context to its return; 10 s
}

func or[T int | float64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

func (l *Limits) setDefaults() {
	or(&l.Message, 1<<20)
	or(&l.Connections, 100_000)
	or(&l.PerAddress, 1000)
	or(&l.Groups, 1000)
	or(&l.Rate, 1000)
	or(&l.Burst, max(int(2*l.Rate), 1))
	or(&l.Pending, 64)
	or(&l.OutboxMessages, 4096)
	or(&l.OutboxBytes, 4<<20)
	or(&l.ResumeBytes, 256<<10)
	or(&l.Invocations, 10_000)
	or(&l.UserGroups, 100_000)
	unlimited := func(v *int) {
		if *v < 0 {
			*v = int(^uint(0) >> 1)
		}
	}
	unlimited(&l.Connections)
	unlimited(&l.PerAddress)
	unlimited(&l.Groups)
}

func (t *Timing) setDefaults() {
	or(&t.KeepAlive, 15*time.Second)
	or(&t.ClientTimeout, 30*time.Second)
	or(&t.Handshake, 15*time.Second)
	or(&t.Attach, 15*time.Second)
	or(&t.Poll, 90*time.Second)
	or(&t.PollGap, 15*time.Second)
	or(&t.Write, 10*time.Second)
	or(&t.Linger, 5*time.Second)
	or(&t.Resume, 30*time.Second)
	or(&t.Drain, 10*time.Second)
}

// maxNode is how long the name of a node is at most.
const maxNode = 32

// nodeName says whether a node may be called that.
func nodeName(name string) bool {
	return name != "" && len(name) <= maxNode && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// check fills in defaults and refuses what can't work.
func (c *Config) check() error {
	if len(c.Handlers) == 0 && c.Fallback == nil {
		return errors.New("hub: no handlers")
	}
	for name := range c.Handlers {
		if !realtime.IsHubName(name) || name != strings.ToLower(name) {
			return fmt.Errorf("hub: bad hub name %q", name)
		}
	}
	if c.Keys == nil {
		return errors.New("hub: no keys")
	}
	if (c.Node == "") != (c.Broker == nil) {
		return errors.New("hub: node and broker belong together")
	}
	if c.Node != "" && !nodeName(c.Node) {
		return fmt.Errorf("hub: bad node name %q", c.Node)
	}
	if c.ClientAddr == nil {
		c.ClientAddr = remoteAddr
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits.setDefaults()
	c.Timing.setDefaults()
	if c.Limits.Message < 1024 {
		return errors.New("hub: a message limit below 1024 bytes breaks handshakes")
	}
	return nil
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // not TCP: all such connections count together
	}
	return ap.Addr().Unmap()
}
