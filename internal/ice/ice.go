// Package ice says which ICE servers a peer should use.
//
// A Provider answers for one member of a session at a time, because TURN credentials
// are short-lived and belong to whoever asked. What it answers is what a browser's
// RTCPeerConnection takes as iceServers, and it goes to the client as it is. So a
// provider puts nothing into it that another party may not see: TURN usernames cross the
// network in clear, and carry no member's id.
//
// Relay is the provider for a relay that takes TURN REST credentials. It knows the relay by two
// functions, so that minting needs no TURN server in the process and no dependency on package
// relay, which verifies.
//
// Issuers make credentials that can be revoked and whose bytes are counted, as far as
// whoever relays lets them: Own, for grants at Causeway's relay; Coturn; Metered; Cloudflare. What
// each is worth it says by its Capabilities. A Chain asks them in order, and Issued
// makes a Provider of one. Answers of bought providers are hostile until read: bounded, without
// redirects, and stripped of what browsers choke on. Keys travel to their provider only, and
// are in no error.
//
// A client asks again before an ICE restart that comes after the expiry; what already runs
// is not cut by it.
package ice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"causeway/internal/relay/credential"
)

// Server is an RTCIceServer as RTCPeerConnection takes it (WebRTC 1.0 §4.2.4).
type Server struct {
	URLs       []string `json:"urls"`                 // stun:, stuns:, turn: or turns: (RFC 7064, RFC 7065)
	Username   string   `json:"username,omitempty"`   // for TURN
	Credential string   `json:"credential,omitempty"` // the password that goes with it
}

// Provider hands out ICE servers.
//
// Servers returns those that member, an id that is unique among all members of all
// sessions, should use from now on, and until when a new allocation can be made with them;
// zero if for ever. An empty list is valid: peers on one network need no servers. Two calls for
// one member may return different credentials, that count as one where usage is limited.
// Implementations are safe for concurrent use, and return soon after ctx ends.
type Provider interface {
	Servers(ctx context.Context, member string) (servers []Server, expires time.Time, err error)
}

const (
	defaultLife = 10 * time.Minute
	maxLife     = 24 * time.Hour
)

// RelayConfig configures a Relay.
type RelayConfig struct {
	// URLs returns the relay's STUN and TURN URLs as they are now; relay.Server.URLs.
	URLs func() []string
	// Secrets returns the secrets that the relay accepts, the one to mint with first.
	Secrets func() [][]byte
	// Life is how long a credential can make new allocations, from a second to a day;
	// 10 minutes by default.
	Life time.Duration
	// STUN are further servers, as stun: or stuns: URLs. None by default: peers on one
	// network need none, and whoever runs them learns the address of every member.
	STUN []string
}

// Relay is the Provider for Causeway's own relay, and for any TURN server that takes
// TURN REST credentials.
type Relay struct {
	cfg RelayConfig
}

// NewRelay checks cfg.
func NewRelay(cfg RelayConfig) (*Relay, error) {
	if cfg.URLs == nil || cfg.Secrets == nil {
		return nil, errors.New("ice: relay without urls or secrets")
	}
	if cfg.Life == 0 {
		cfg.Life = defaultLife
	}
	if cfg.Life < time.Second || cfg.Life > maxLife {
		return nil, fmt.Errorf("ice: credential life %v: want 1s to %v", cfg.Life, maxLife)
	}
	for _, u := range cfg.STUN {
		if err := CheckSTUN(u); err != nil {
			return nil, fmt.Errorf("ice: %w", err)
		}
	}
	cfg.STUN = append([]string(nil), cfg.STUN...)
	return &Relay{cfg: cfg}, nil
}

// Servers implements Provider. It fails if there is no secret, or ctx has ended.
func (r *Relay) Servers(ctx context.Context, member string) ([]Server, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("ice servers: %w", err)
	}
	var stun, turn []string
	for _, u := range r.cfg.URLs() {
		if strings.HasPrefix(u, "turn") {
			turn = append(turn, u)
		} else {
			stun = append(stun, u)
		}
	}
	stun = append(stun, r.cfg.STUN...)
	var servers []Server
	if len(stun) > 0 {
		servers = append(servers, Server{URLs: stun})
	}
	if len(turn) == 0 {
		return servers, time.Time{}, nil
	}
	secrets := r.cfg.Secrets()
	if len(secrets) == 0 || len(secrets[0]) == 0 {
		return nil, time.Time{}, errors.New("ice servers: no secret to mint with")
	}
	// A credential ends at a whole second; say that one, and not a fraction later.
	expires := time.Now().Add(r.cfg.Life).Truncate(time.Second)
	username, password := credential.Mint(secrets[0], member, expires)
	return append(servers, Server{URLs: turn, Username: username, Credential: password}), expires, nil
}

// CheckSTUN tells what is wrong with a STUN URL: RFC 7064 has scheme, host and
// optionally port, nothing else. Browsers refuse a whole configuration for one bad URL.
func CheckSTUN(u string) error {
	scheme, rest, _ := strings.Cut(u, ":")
	if scheme != "stun" && scheme != "stuns" {
		return fmt.Errorf("stun url %q: want stun:host or stun:host:port", u)
	}
	host := rest
	if h, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("stun url %q: port %q is none", u, port)
		}
		host = h
	} else if h, ok := strings.CutPrefix(rest, "["); ok && strings.HasSuffix(h, "]") {
		host = strings.TrimSuffix(h, "]")
	} else if strings.Contains(rest, ":") {
		return fmt.Errorf("stun url %q: an IPv6 address goes in brackets", u)
	}
	if host == "" || strings.ContainsAny(host, "/?#@[] \t\r\n") {
		return fmt.Errorf("stun url %q: want stun:host or stun:host:port", u)
	}
	return nil
}
