package grant

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"causeway/internal/ice"
)

// Member is a peer of a session.
type Member struct {
	Session, Peer string
	// Role is what the caller makes of it; Keeper.Move gives it back.
	Role string
	// Addr is the public address from which its signaling connection came; the zero Addr
	// if there is none. It limits mints, and proves a peer address to the relay.
	Addr netip.Addr
	// Terms are the session's, and the same for each of its members.
	Terms Terms
}

// Terms bind the use of relays in one session, besides the server's own settings.
type Terms struct {
	// Closed allows relayed addresses of the session's own members and nothing else (P4).
	Closed bool
	// DayBytes caps what is relayed in a UTC day, in place of the session's cap; 0: it doesn't.
	DayBytes int64
}

// key names a member whatever its address is.
type key struct{ session, peer string }

func (m Member) key() key { return key{m.Session, m.Peer} }

// Order is what a credential is asked for.
type Order struct {
	Member Member
	// Auth is what the member's ICE agent goes by; Relay.Renew brings what changes.
	Auth []ice.Auth
	// Until is how long it lives without a Renew; NotAfter how long at most.
	Until, NotAfter time.Time
	Need            Need
}

// Credential is what one member gets.
type Credential struct {
	Servers []ice.Server
	Handle  string // names it to the relay that minted it
}

// Relay is a TURN relay, or several behind one. Its methods are called concurrently and
// return soon after ctx ends.
//
// Mint makes credentials for both members of a pair, at one and the same relay, where each is the
// other's peer; ErrNoRelay if there are none to be had. With an error, none stays. Renew says until when one is to
// live from now on, and what the member's ICE agent goes by; ErrGone (wrapped) if the relay
// has ended it. Revoke of a handle that is gone is no error.
type Relay interface {
	Mint(ctx context.Context, pair [2]Order) ([2]Credential, error)
	Renew(ctx context.Context, handle string, until time.Time, auth []ice.Auth) error
	Revoke(ctx context.Context, handle string) error
}

// ErrGone is a Relay's answer for a credential that it has ended.
var ErrGone = errors.New("the relay has ended it")

// Errors of Admit.
var (
	ErrKicked = errors.New("the member was removed")
	ErrFull   = errors.New("the session has all its members")
)

// Errors of Pair.
var (
	ErrAbsent  = errors.New("not both members are present")
	ErrLimited = errors.New("too many credentials asked for")
	ErrNoRelay = errors.New("no relay is available")
	// ErrSpent: the budget that a credential would draw on is spent.
	ErrSpent = errors.New("the relay's budget is spent")
	// ErrShort: what is left of it is less than what was declared. It is an ErrSpent as well.
	ErrShort = errors.New("the relay's budget is too small for this")
)
