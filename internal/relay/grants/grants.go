// Package grants is what a member of a session may do at a relay, and the account from
// which what it does is paid.
//
// A Grant is put, renewed and deleted by the control plane, which is signaling in the same
// process or a control link. An Account is the live side of one: all allocations
// that are made with the grant's credential share it, so that many of them gain nothing
// over one. Its two limits are asked for each packet, by many goroutines, without a
// lock and without memory:
//
//   - Bytes. They are leased from a Ledger in chunks, ahead of need, and what is not
//     leased is not delivered: a node that loses its ledger stops when the lease is used
//     up. Always leased == delivered + returned + left, so over all nodes a cap holds
//     by arithmetic.
//   - Rate, of bytes and of packets (a leaky bucket of RateBurst).
//
// Kill is the end: the data path of an account that was killed is dead at once, and
// what was left of its lease is given back.
//
// Nothing here starts a goroutine or waits, except that Lease and Settle call the Ledger.
package grants

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"causeway/internal/relay/policy"
)

// Grant is what the control plane tells a node about one member of a session.
type Grant struct {
	ID       string    // 16 base64url characters of 12 random bytes; the credential names it
	Session  string    // opaque; equal for all members of one session
	Member   string    // opaque, unique in the session
	Until    time.Time // kept ahead by presence; the data path is dead a second after it at the latest
	NotAfter time.Time // no renewal goes beyond it; zero: no such limit

	Allocations, Permissions int          // 0: the server's defaults
	Policy                   policy.Level // policy.Default: the server's
	Addrs                    []netip.Addr // public addresses that the member's signaling connection came from
	ICE                      []ICEAuth    // of the member, for policy.P3
}

// ICEAuth is what a member's ICE agent goes by in the current offer or answer, or
// in the one before.
type ICEAuth struct{ Ufrag, Pwd string }

// End is when the grant ends as things are.
func (g *Grant) End() time.Time {
	if !g.NotAfter.IsZero() && g.NotAfter.Before(g.Until) {
		return g.NotAfter
	}
	return g.Until
}

// Ledger is where bytes are leased. Implementations are safe for concurrent use, and
// return soon after ctx ends.
type Ledger interface {
	// Lease asks for up to want more bytes for a grant's chain of accounts (credential,
	// member, session, day, month). It may give less. 0 with ErrSpent (wrapped): there is
	// nothing more, and the data path is cut. Another error: nothing for now.
	Lease(ctx context.Context, grantID string, want int64) (granted int64, err error)
	// Settle reports, out of what was leased and since the last Settle: delivered bytes,
	// how many of them left the host's own networks (charged, at most delivered; only
	// these cost money), and what is given back.
	Settle(ctx context.Context, grantID string, delivered, charged, returned int64) error
}

// ErrSpent is what a Ledger's Lease says when a budget of the chain is empty.
var ErrSpent = errors.New("budget is spent")
