// Package signaling brings the peers of a session together: it makes sessions
// and invites, hands out grants, and passes descriptions and candidates between
// peers that hold one. docs/protocol.md §2 and §3 are its specification.
//
// The use of a relay is given to two members at a time, by a message over the hub
// and not by HTTP: package grant, which knows who is present, mints and keeps the credentials.
//
// A session is a star, a host and its guests, or a room, whose members are all equal, see each
// other, and may pass messages by way of the server that they have sealed (sealed.go).
//
// The package itself keeps no state but the rates of those who pass sealed messages. What a peer
// may do stands in its grant, which travels as
// claims of its connection; who is present is the membership of groups of
// the realtime service, the session's hosts and its guests, or its members; a peer is addressed
// as the user "<session>.<peer>", so that an address outside of the sender's own
// session can't be expressed. Any number of processes that share a signing key
// can therefore serve one session, and a restart forgets nothing.
//
// The package has two faces: Routes, the HTTP interface, and the realtime.Handler
// for the connections of the hub.
package signaling

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"causeway/internal/grant"
	"causeway/internal/guard"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// Hub is the name of the hub that peers connect to.
const Hub = "signaling"

// Relays is package grant, or grant/shared: who is present, and who may use a relay with whom.
type Relays interface {
	Members
	// Pair returns ICE servers for a and for b, or one of package grant's errors.
	Pair(ctx context.Context, a, b grant.Member, need grant.Need) (forA, forB []ice.Server, err error)
	// Described says what m's ICE agent goes by.
	Described(ctx context.Context, m grant.Member, auth ice.Auth)
}

// Members is told who comes and goes.
type Members interface {
	// Admit lets a connection in, or returns grant.ErrKicked, or ErrFull if atMost others are there.
	Admit(ctx context.Context, m grant.Member, connectionID string, atMost int) error
	Disconnected(ctx context.Context, m grant.Member, connectionID string)
	Left(ctx context.Context, m grant.Member)
	// Kick removes a member; the caller closes the connections that it returns.
	Kick(ctx context.Context, m grant.Member) (connectionIDs []string)
}

// Config is what New needs. All fields but Guard, ClientAddr, Now and Logger are required.
type Config struct {
	Realtime realtime.Service
	// ICE returns the ICE servers that everybody may use: no credentials.
	ICE func() []ice.Server
	// Relays gives pairs of members the use of a relay, and knows who is present here.
	Relays Relays
	Signer *token.Signer
	// Lifetime of a session: of its invite and its host's grant.
	Lifetime time.Duration
	// Seats is how many receivers a host admits.
	Seats int
	// Members is how many a room holds.
	Members int
	// LinkBase returns what invite links to this server begin with, for a
	// request by the host; Origin returns the origin of the request itself.
	LinkBase, Origin func(*http.Request) string
	// Guard admits what costs; nil: everything is admitted.
	Guard *guard.Guard
	// ClientAddr returns the address that a request came from; nil: not known.
	ClientAddr func(*http.Request) netip.Addr
	// Regions are those that share the signing key; none by default.
	Regions Regions
	// Stats counts what happens; nil: nothing is counted.
	Stats  Stats
	Logger *slog.Logger // default: discards
	Now    func() time.Time
}

// Signaling implements realtime.Handler. It is safe for concurrent use.
type Signaling struct {
	cfg     Config
	sealing sealing
}

var _ realtime.Handler = (*Signaling)(nil)

// New returns a Signaling; it starts nothing.
func New(cfg Config) (*Signaling, error) {
	if cfg.Realtime == nil || cfg.ICE == nil || cfg.Relays == nil || cfg.Signer == nil || cfg.LinkBase == nil || cfg.Origin == nil {
		return nil, errors.New("signaling: incomplete configuration")
	}
	if !checkRegions(cfg.Regions) {
		return nil, errors.New("signaling: too many regions, or the own one is not among them")
	}
	if cfg.Lifetime <= 0 || cfg.Seats <= 0 || cfg.Members <= 0 {
		return nil, errors.New("signaling: lifetime, seats and members must be positive")
	}
	if cfg.ClientAddr == nil {
		cfg.ClientAddr = func(*http.Request) netip.Addr { return netip.Addr{} }
	}
	if cfg.Stats == nil {
		cfg.Stats = noStats{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Signaling{cfg: cfg, sealing: sealing{senders: map[string]*sender{}}}, nil
}
