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
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// Hub is the name of the hub that peers connect to.
const Hub = "signaling"

// Config is what New needs. All fields but ClientAddr, Now and Logger are required.
type Config struct {
	Realtime realtime.Service
	// ICE returns the ICE servers that everybody may use: no credentials.
	ICE func() []ice.Server
	// Relays gives pairs of members the use of a relay, and knows who is present here.
	Relays *grant.Keeper
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
	// ClientAddr returns the address that a request came from; nil: not known.
	ClientAddr func(*http.Request) netip.Addr
	Logger     *slog.Logger // default: discards
	Now        func() time.Time
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
	if cfg.Lifetime <= 0 || cfg.Seats <= 0 || cfg.Members <= 0 {
		return nil, errors.New("signaling: lifetime, seats and members must be positive")
	}
	if cfg.ClientAddr == nil {
		cfg.ClientAddr = func(*http.Request) netip.Addr { return netip.Addr{} }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Signaling{cfg: cfg, sealing: sealing{senders: map[string]*sender{}}}, nil
}
