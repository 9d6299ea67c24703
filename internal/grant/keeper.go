package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"causeway/internal/ice"
)

// Config is what New needs. Relay is required.
type Config struct {
	Relay Relay
	// Grace is how long a member may be without a connection; 20 s by default.
	Grace time.Duration
	// Life is how long a credential is good at most; 12 h by default. It can be
	// long, as it ends with presence.
	Life time.Duration
	// Members bounds the table of those present; 100 000 by default.
	Members int
	// Declare is told how much is to be transferred by a credential, when that was not known at its Mint; it says
	// ErrShort (wrapped) if that can't be. nil: nobody is.
	Declare func(ctx context.Context, handle string, bytes int64) error
	// Moved is told that a member signals from another address than before, as long as it holds no lock of
	// the caller's; nil: nobody is.
	Moved      func(Member)
	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	defaultGrace   = 20 * time.Second
	defaultLife    = 12 * time.Hour
	defaultMembers = 100_000

	maxPairs      = 64
	maxAuth       = 16
	maxOrders     = 1024 // revocations and renewals that wait for the relay
	relayPatience = 10 * time.Second
	workers       = 4
)

// Keeper is safe for concurrent use.
type Keeper struct {
	cfg     Config
	metrics metrics
	limits  limits
	work    chan task

	mu      sync.Mutex
	members map[key]*presence
	present map[string]int    // how many of members a session has
	kicked  map[key]time.Time // until when they, or a whole session (everyone), are shut out
}

// presence is one member with its connections and pairs.
type presence struct {
	member      Member
	connections map[string]bool
	lost        time.Time // when the last connection ended; zero while there is one
	mints       bucket
	auth        []ice.Auth // of its descriptions, the newest last
	pairs       []*pair    // the oldest first
}

// task is a call to the relay.
type task struct {
	pair   *pair
	handle string
	until  time.Time // zero: revoke
	auth   []ice.Auth
}

// New returns a Keeper; it starts nothing.
func New(cfg Config) (*Keeper, error) {
	if cfg.Relay == nil {
		return nil, errors.New("grant: no relay")
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	if cfg.Life == 0 {
		cfg.Life = defaultLife
	}
	if cfg.Members == 0 {
		cfg.Members = defaultMembers
	}
	if cfg.Grace < time.Second || cfg.Life < cfg.Grace || cfg.Members < 0 {
		return nil, fmt.Errorf("grant: grace %v, life %v, %d members: want a grace from 1s that is within the life", cfg.Grace, cfg.Life, cfg.Members)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{cfg: cfg, members: map[key]*presence{}, present: map[string]int{}, kicked: map[key]time.Time{}, work: make(chan task, maxOrders)}
	k.metrics = newMetrics(cfg.Registerer)
	return k, nil
}

// Run renews what lives, and forgets what is over, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case t := <-k.work:
					k.call(ctx, t)
				}
			}
		})
	}
	g.Go(func() error {
		tick := time.NewTicker(k.cfg.Grace / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				k.sweep(ctx)
			}
		}
	})
	return g.Wait()
}

func (k *Keeper) call(ctx context.Context, t task) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	what, err := "revoke", error(nil)
	if t.until.IsZero() {
		err = k.cfg.Relay.Revoke(ctx, t.handle)
	} else {
		what, err = "renew", k.cfg.Relay.Renew(ctx, t.handle, t.until, t.auth)
	}
	if errors.Is(err, ErrGone) { // a budget is spent, or the relay was restarted: who asks again gets a new one
		k.mu.Lock()
		defer k.mu.Unlock()
		if !t.pair.over && t.pair.has(t.handle) {
			k.takeBack(ctx, t.pair)
		}
		return
	}
	if err != nil && ctx.Err() == nil {
		k.metrics.failed.WithLabelValues(what).Inc()
		k.cfg.Logger.WarnContext(ctx, "the relay refused", "what", what, "err", err)
	}
}

// Connected says that m has a connection. It is called before anything else for it. It
// returns false for a member that was kicked.
func (k *Keeper) Connected(m Member, connectionID string) bool {
	return k.Admit(context.Background(), m, connectionID, 0) == nil
}

// Admit is Connected for a session of at most atMost members, if that is not 0. Its errors are
// ErrKicked and ErrFull. Who has lost its connection keeps its place for Grace.
func (k *Keeper) Admit(_ context.Context, m Member, connectionID string, atMost int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shutOut(m) {
		return ErrKicked
	}
	p := k.members[m.key()]
	if p == nil {
		if atMost > 0 && k.present[m.Session] >= atMost {
			return ErrFull
		}
		if len(k.members) >= k.cfg.Members {
			k.metrics.refused.WithLabelValues("full").Inc()
			return nil // it may do everything else
		}
		p = &presence{connections: map[string]bool{}}
		k.members[m.key()] = p
		k.present[m.Session]++
	}
	if k.cfg.Moved != nil && p.member.Addr != m.Addr && len(p.pairs) > 0 {
		k.cfg.Moved(m)
	}
	p.member, p.lost = m, time.Time{}
	p.connections[connectionID] = true
	return nil
}

// Disconnected says that a connection has ended. Its member has Grace to come back.
func (k *Keeper) Disconnected(ctx context.Context, m Member, connectionID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.members[m.key()]
	if p == nil || !p.connections[connectionID] {
		return
	}
	delete(p.connections, connectionID)
	if len(p.connections) > 0 {
		return
	}
	p.lost = time.Now()
	for _, pair := range p.pairs {
		k.renew(ctx, pair)
	}
}

// Kick takes back what m has and shuts it out for as long as a credential lives. It returns m's
// connections, for the caller to close.
func (k *Keeper) Kick(ctx context.Context, m Member) (connectionIDs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kicked) < k.cfg.Members {
		k.kicked[m.key()] = time.Now().Add(k.cfg.Life)
	}
	p := k.members[m.key()]
	if p == nil {
		return nil
	}
	k.forget(ctx, p)
	return slices.Sorted(maps.Keys(p.connections))
}

// Described says what m's ICE agent goes by in a description that it has sent. The relays of
// its pairs are told, for policies that look at ICE checks.
func (k *Keeper) Described(ctx context.Context, m Member, auth ice.Auth) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.members[m.key()]
	if p == nil || slices.Contains(p.auth, auth) {
		return
	}
	if p.auth = append(p.auth, auth); len(p.auth) > maxAuth {
		p.auth = slices.Delete(p.auth, 0, len(p.auth)-maxAuth)
	}
	for _, pair := range p.pairs {
		k.renew(ctx, pair)
	}
}

// Left takes back what m has: it said goodbye.
func (k *Keeper) Left(ctx context.Context, m Member) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.members[m.key()]; p != nil {
		k.forget(ctx, p)
	}
}

// forget drops a member, and takes its pairs back.
func (k *Keeper) forget(ctx context.Context, p *presence) {
	for len(p.pairs) > 0 {
		k.takeBack(ctx, p.pairs[0])
	}
	if k.members[p.member.key()] != p {
		return
	}
	delete(k.members, p.member.key())
	if k.present[p.member.Session]--; k.present[p.member.Session] == 0 {
		delete(k.present, p.member.Session)
	}
}

// takeBack ends a pair at both its members.
func (k *Keeper) takeBack(ctx context.Context, ended *pair) {
	ended.over = true
	for _, name := range ended.members {
		p := k.members[name]
		if p == nil {
			continue
		}
		for i, one := range p.pairs {
			if one == ended {
				p.pairs = append(p.pairs[:i:i], p.pairs[i+1:]...)
				break
			}
		}
	}
	k.tell(ctx, ended, time.Time{})
	k.metrics.pairs.Dec()
}

// deadline is until when a pair lives as things stand: Grace from now while both members are
// there, or from when one was lost.
func (k *Keeper) deadline(p *pair) time.Time {
	until := time.Now().Add(k.cfg.Grace)
	for _, name := range p.members {
		if one := k.members[name]; one != nil && !one.lost.IsZero() && one.lost.Add(k.cfg.Grace).Before(until) {
			until = one.lost.Add(k.cfg.Grace)
		}
	}
	if p.notAfter.Before(until) {
		return p.notAfter
	}
	return until
}

func (k *Keeper) renew(ctx context.Context, p *pair) { k.tell(ctx, p, k.deadline(p)) }

// tell hands a change of a pair's credentials, the zero time for their end, to the workers.
func (k *Keeper) tell(ctx context.Context, p *pair, until time.Time) {
	k.hand(ctx, p, p.credentials, until)
	if p.oldUntil.IsZero() {
		return
	}
	if !until.IsZero() && time.Now().Before(p.oldUntil) {
		k.hand(ctx, p, p.old, until)
		return
	}
	k.revoke(ctx, p, p.old)
	p.old, p.oldUntil = [2]Credential{}, time.Time{}
}

func (k *Keeper) revoke(ctx context.Context, p *pair, of [2]Credential) {
	k.hand(ctx, p, of, time.Time{})
}

// hand queues the tasks. What the workers can't take is lost: a renewal comes again, and an end comes
// by itself after Grace.
func (k *Keeper) hand(ctx context.Context, p *pair, credentials [2]Credential, until time.Time) {
	for i, c := range credentials {
		if c.Handle == "" {
			continue
		}
		t := task{pair: p, handle: c.Handle, until: until}
		if member := k.members[p.members[i]]; member != nil {
			t.auth = slices.Clone(member.auth)
		}
		select {
		case k.work <- t:
		default:
			k.metrics.failed.WithLabelValues("busy").Inc()
			k.cfg.Logger.WarnContext(ctx, "the relay is slow: a change of a grant was dropped")
		}
	}
}

// sweep renews all pairs, and forgets members whose grace is over and pairs whose life is.
func (k *Keeper) sweep(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for _, p := range k.members {
		if !p.lost.IsZero() && !now.Before(p.lost.Add(k.cfg.Grace)) {
			k.forget(ctx, p)
			continue
		}
		for _, one := range append([]*pair(nil), p.pairs...) {
			switch {
			case one.members[0] != p.member.key(): // once, at its first member
			case !now.Before(one.notAfter):
				k.takeBack(ctx, one)
			default:
				k.renew(ctx, one)
			}
		}
	}
	maps.DeleteFunc(k.kicked, func(_ key, until time.Time) bool { return now.After(until) })
	k.limits.sweep(now)
}
