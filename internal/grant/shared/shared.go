// Package shared gives pairs of members the use of a relay, as package grant does, where many
// processes that live for a request or two do it together, as on Azure Functions.
//
// The rules are those of package grant; what differs is where the state is:
//
//   - who is present, and who was removed, the realtime service knows (Directory);
//   - which pairs there are, and who has asked how often, a Store knows, which all processes
//     share. Nothing but asking for a relay, leaving and removing looks at it, so that connecting
//     and signaling need no database;
//   - what a Keeper's goroutines do, Tick does, which a timer calls about every minute. If none
//     does, nobody renews, and credentials end by themselves: it fails closed.
//
// A credential therefore outlives a lost connection by Grace and up to two ticks. Addresses and
// descriptions of members are not kept, so a relay's peer policy above P2 has nothing to go by.
//
// # Bounds and policies
//
//	pairs of a member  64; the oldest is taken back
//	mints              as in package grant                        grant.ErrLimited
//	pairs at a tick    2000, those that were looked at longest ago first; the rest at the next
package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/grant"
	"causeway/internal/ice"
)

// Pair is the use of a relay by two members of a session.
type Pair struct {
	ID       string // made of the names of session and members, in any order
	Session  string
	Members  [2]string // peers; the first asked
	Made     time.Time
	NotAfter time.Time
	// Lost is since when one of them is away, as ticks saw it; zero: both are there.
	Lost   time.Time
	Minted bool
	Bytes  int64     // what it is for, as far as is known
	Short  time.Time // until when it is refused, as that is more than there is
	// Credentials are in the order of Members.
	Credentials [2]grant.Credential
	Seen        time.Time // when a tick looked at it last
}

// Filter says which pairs to list; empty fields say nothing.
type Filter struct {
	ID            string
	Session, Peer string
	Before        time.Time // seen before
}

// Store keeps pairs and buckets for all processes. Each method is atomic.
type Store interface {
	// Claim adds p, or returns the pair of that ID which is there; mine says that it was added.
	Claim(ctx context.Context, p Pair) (there Pair, mine bool, err error)
	// Update replaces the pair of p's ID; false if there is none, or one that was made at
	// another time.
	Update(ctx context.Context, p Pair) (bool, error)
	// List returns pairs, those that were seen longest ago first.
	List(ctx context.Context, f Filter, limit int) ([]Pair, error)
	// End removes a pair; false if it was not there, and so somebody else ended it.
	End(ctx context.Context, id string) (bool, error)
	// Take takes a token of a bucket that holds burst and gains one every `every`; false if it is empty.
	Take(ctx context.Context, bucket string, now time.Time, burst int, every time.Duration) (bool, error)
}

// Directory is what the realtime service knows about members.
type Directory interface {
	// Present says whether a member has a connection.
	Present(ctx context.Context, session, peer string) (bool, error)
	// Shut ends a member's connections, and has IsShut say so for a while.
	Shut(ctx context.Context, session, peer string, life time.Duration) error
	IsShut(ctx context.Context, session, peer string) (bool, error)
	// Others counts the different members but m who are on its side of its session.
	Others(ctx context.Context, m grant.Member) (int, error)
}

// Config is what New needs. Relay, Store and Directory are required.
type Config struct {
	Relay     grant.Relay
	Store     Store
	Directory Directory
	// Declare is that of grant.Config: it is told the size of what a credential is for, when that was not known at
	// its Mint; nil: nobody is.
	Declare func(ctx context.Context, handle string, bytes int64) error
	// Grace is how long a member may be without a connection; 20 s by default.
	Grace time.Duration
	// Life is how long a credential is good at most; 12 h by default.
	Life time.Duration
	// Every is how often Tick is called; a minute by default.
	Every  time.Duration
	Logger *slog.Logger // default: discards
}

const (
	maxPairs      = 64
	maxTick       = 2000 // pairs
	page          = 100
	atOnce        = 8
	relayPatience = 10 * time.Second
	mintPatience  = 30 * time.Second // after which who began to mint has died
	mintPoll      = 150 * time.Millisecond
	// shortFor is how long a pair is refused after what it declared did not fit: the other member, which does not know
	// the size, asks as well, and would get what this one can't have.
	shortFor = time.Minute
)

var errFull = errors.New("shared grants: too many pairs")

// Keeper is safe for concurrent use, also by many processes.
type Keeper struct{ cfg Config }

// New checks cfg and makes a Keeper.
func New(cfg Config) (*Keeper, error) {
	if cfg.Relay == nil || cfg.Store == nil || cfg.Directory == nil {
		return nil, errors.New("shared grants: Relay, Store and Directory are required")
	}
	for _, f := range []struct {
		d   *time.Duration
		def time.Duration
	}{{&cfg.Grace, 20 * time.Second}, {&cfg.Life, 12 * time.Hour}, {&cfg.Every, time.Minute}} {
		if *f.d == 0 {
			*f.d = f.def
		}
	}
	if cfg.Grace < 0 || cfg.Every < time.Second || cfg.Life < cfg.Grace {
		return nil, fmt.Errorf("shared grants: grace %v, life %v, every %v make no sense", cfg.Grace, cfg.Life, cfg.Every)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{cfg}, nil
}

// Admit returns grant.ErrKicked for a member that was removed, and grant.ErrFull if atMost, unless
// it is 0, others are there; two who come at once may both find the last place. Where the service doesn't say,
// who asks is let in: the relay is not given out without the Store.
func (k *Keeper) Admit(ctx context.Context, m grant.Member, _ string, atMost int) error {
	shut, err := k.cfg.Directory.IsShut(ctx, m.Session, m.Peer)
	if err != nil {
		k.cfg.Logger.WarnContext(ctx, "not known whether a member was removed", "err", err)
	}
	if shut {
		return grant.ErrKicked
	}
	if atMost == 0 {
		return nil
	}
	others, err := k.cfg.Directory.Others(ctx, m)
	if err != nil {
		k.cfg.Logger.WarnContext(ctx, "not known how many members a room has", "err", err)
	}
	if others >= atMost {
		return grant.ErrFull
	}
	return nil
}

// Disconnected does nothing: the member has Grace to come back, and a tick looks.
func (k *Keeper) Disconnected(context.Context, grant.Member, string) {}

// Described does nothing, see the package comment.
func (k *Keeper) Described(context.Context, grant.Member, ice.Auth) {}

// Left takes back what m has: it said goodbye.
func (k *Keeper) Left(ctx context.Context, m grant.Member) {
	if err := k.endOf(ctx, m); err != nil { // a tick will
		k.cfg.Logger.WarnContext(ctx, "grants of a member that left stay for now", "err", err)
	}
}

// Kick takes back what m has, closes its connections, and shuts it out for as long as a credential lives.
func (k *Keeper) Kick(ctx context.Context, m grant.Member) (connectionIDs []string) {
	err := errors.Join(k.cfg.Directory.Shut(ctx, m.Session, m.Peer, k.cfg.Life), k.endOf(ctx, m))
	if err != nil {
		k.cfg.Logger.ErrorContext(ctx, "a member was not wholly removed", "err", err)
	}
	return nil
}

// Spent takes back the pairs that an empty account concerns: a session's, a member's in it, that with
// one credential; with no names, all there are. It returns how many, and may be called again and again.
func (k *Keeper) Spent(ctx context.Context, session, peer, handle string) (ended int, err error) {
	pairs, err := k.cfg.Store.List(ctx, Filter{Session: session, Peer: peer}, maxTick)
	if handle != "" {
		pairs = slices.DeleteFunc(pairs, func(p Pair) bool {
			return p.Credentials[0].Handle != handle && p.Credentials[1].Handle != handle
		})
	}
	return len(pairs), errors.Join(err, k.end(ctx, pairs))
}

func (k *Keeper) endOf(ctx context.Context, m grant.Member) error {
	pairs, err := k.cfg.Store.List(ctx, Filter{Session: m.Session, Peer: m.Peer}, maxPairs)
	return errors.Join(err, k.end(ctx, pairs))
}

// end removes pairs, and revokes the credentials of those that nobody else removes.
func (k *Keeper) end(ctx context.Context, pairs []Pair) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, p := range pairs {
		g.Go(func() error {
			mine, err := k.cfg.Store.End(ctx, p.ID)
			if err != nil || !mine {
				return err
			}
			return k.revoke(ctx, p.Credentials)
		})
	}
	return g.Wait()
}

// revoke goes on after ctx has ended: nobody else will do it.
func (k *Keeper) revoke(ctx context.Context, credentials [2]grant.Credential) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayPatience)
	defer cancel()
	var errs []error
	for _, c := range credentials {
		if c.Handle != "" {
			errs = append(errs, k.cfg.Relay.Revoke(ctx, c.Handle))
		}
	}
	return errors.Join(errs...)
}
