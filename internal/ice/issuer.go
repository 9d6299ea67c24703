package ice

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Errors of Issuers that callers branch on, always wrapped. What an Issuer cannot do at
// all is errors.ErrUnsupported.
var (
	// ErrRefused: the member may not have a credential, from nobody: a budget is spent, or
	// the session is not in a state for it. The next Issuer is not asked.
	ErrRefused = errors.New("no turn credential for this member")
	// ErrAway: the relay is draining, or known not to answer; whoever watches it has said so.
	ErrAway = errors.New("the relay is away")
	// ErrAnswer: a provider's answer makes no sense.
	ErrAnswer = errors.New("the provider's answer makes no sense")
)

// Request asks for one member's credential.
type Request struct {
	Session string        // the label, where providers have one
	Member  string        // unique in the session
	Life    time.Duration // how long it can make new allocations; 0: the Issuer's choice
	Region  string        // of the provider's relays; empty: as configured
	// What only our own relay looks at:
	Until time.Time  // how long presence vouches for the member; zero: for Life
	Addr  netip.Addr // the public address that the member signals from; may be zero
	Auth  []Auth     // of its ICE agent
	Bytes int64      // of the transfer that the credential is for; 0: not known
	// Closed asks for relays that only reach the session's own relayed addresses; a Chain
	// leaves out who has no Capabilities.PeerPolicy. DayBytes is the session's cap for a UTC day; 0: none of its own.
	Closed   bool
	DayBytes int64
}

// Auth is what a member's ICE agent goes by in one of its descriptions (RFC 8445 §5.3).
type Auth struct{ Ufrag, Pwd string }

// Minted is a credential and where to use it.
type Minted struct {
	Servers []Server
	Handle  string    // names it, for Revoke and Usage; opaque, and no secret
	Expires time.Time // when it can make no new allocation any more; zero: never
}

// Issuer makes TURN credentials, at our relay or a provider's. It is safe for
// concurrent use, and returns soon after ctx ends.
type Issuer interface {
	// Mint makes a credential. It holds nothing that another party may not see.
	Mint(ctx context.Context, r Request) (Minted, error)
	// Revoke makes a credential useless, as fast as Capabilities says. One that is gone is
	// no error.
	Revoke(ctx context.Context, handle string) error
	// Usage returns the bytes that credentials have relayed so far, as they are billed. What
	// the provider knows nothing about (yet) is left out; with an error, the rest is.
	Usage(ctx context.Context, handles []string) (map[string]int64, error)
	// Capabilities says what the promises above are worth.
	Capabilities() Capabilities
}

// Capabilities is what a provider really does, so that what is promised to an operator
// degrades openly.
type Capabilities struct {
	Expires     bool          // credentials end by themselves
	Label       bool          // the provider shows the session's name in its statistics
	Revoke      bool          // and how long a running allocation outlives it:
	RevokeDelay time.Duration // 0: at once; negative: not stated
	Usage       bool          // by credential, and how old the figures are:
	UsageDelay  time.Duration // negative: not stated
	ByteCap     bool          // a budget is enforced while bytes flow, and not by polling
	PeerPolicy  bool          // peers are restricted to the session
	Regions     bool          // Request.Region is looked at
}

// weakest is what a and b both do.
func (a Capabilities) weakest(b Capabilities) Capabilities {
	slower := func(a, b time.Duration) time.Duration {
		if a < 0 || b < 0 {
			return -1
		}
		return max(a, b)
	}
	return Capabilities{
		a.Expires && b.Expires, a.Label && b.Label,
		a.Revoke && b.Revoke, slower(a.RevokeDelay, b.RevokeDelay),
		a.Usage && b.Usage, slower(a.UsageDelay, b.UsageDelay),
		a.ByteCap && b.ByteCap, a.PeerPolicy && b.PeerPolicy, a.Regions && b.Regions,
	}
}

// maxURLs bounds what is taken from a provider; each URL costs each browser a socket.
const maxURLs = 16

// tidy takes what browsers can use out of a provider's servers: stun: and turn: URLs
// (RFC 7064, RFC 7065) that are not on port 53, which browsers block. No TURN server with a
// credential left is ErrAnswer.
func tidy(servers []Server) ([]Server, error) {
	var tidied []Server
	urls, turn := 0, false
	for _, s := range servers {
		good := Server{Username: s.Username, Credential: s.Credential}
		for _, u := range s.URLs {
			relays := strings.HasPrefix(u, "turn:") || strings.HasPrefix(u, "turns:")
			if urls == maxURLs || !usable(u) || relays && (s.Username == "" || s.Credential == "") {
				continue
			}
			good.URLs = append(good.URLs, u)
			urls, turn = urls+1, turn || relays
		}
		if len(good.URLs) > 0 {
			tidied = append(tidied, good)
		}
	}
	if !turn {
		return nil, fmt.Errorf("%w: no turn server", ErrAnswer)
	}
	return tidied, nil
}

// usable: browsers refuse a whole configuration for one bad URL.
func usable(u string) bool {
	base, query, asked := strings.Cut(u, "?")
	if asked && query != "transport=udp" && query != "transport=tcp" {
		return false
	}
	scheme, rest, _ := strings.Cut(base, ":")
	switch scheme {
	case "turn", "turns":
	case "stun", "stuns":
		if asked {
			return false
		}
	default:
		return false
	}
	return CheckSTUN("stun:"+rest) == nil && !strings.HasSuffix(rest, ":53")
}

// checkOrigin tells whether base is an https URL without anything but a host; http is
// for loopback, as a proxy or a test has it.
func checkOrigin(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want an origin such as https://example.metered.live")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return errors.New("want https")
	}
	return nil
}
