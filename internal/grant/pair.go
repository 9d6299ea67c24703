package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"causeway/internal/ice"
)

// Need is what a pair wants of a relay.
type Need struct {
	Bytes  int64  // of the transfer; 0: not known
	Region string // that the one who asks prefers; empty: as configured
}

// pair is the use of a relay by two members; guarded by Keeper.mu.
type pair struct {
	members     [2]key
	need        Need
	notAfter    time.Time
	over        bool          // taken back
	minting     chan struct{} // closed when that has ended; nil when nobody mints
	minted      bool
	short       time.Time     // until when it is refused, as more was declared than can be
	credentials [2]Credential // in the order of members
	old         [2]Credential // of a relay that is being left, until oldUntil
	oldUntil    time.Time     // the zero time: there are none
}

// of returns the credentials' servers, those of m first.
func (p *pair) of(m Member) (first, second []ice.Server) {
	i := 0
	if p.members[0] != m.key() {
		i = 1
	}
	return p.credentials[i].Servers, p.credentials[1-i].Servers
}

// has tells whether handle names one of the pair's credentials, and no old one.
func (p *pair) has(handle string) bool {
	return p.credentials[0].Handle == handle || p.credentials[1].Handle == handle
}

// Pair returns ICE servers for a and for b, who may use a relay with each other: those that
// they have already, or new ones. Errors are ErrAbsent, ErrLimited, ErrNoRelay and ErrSpent,
// or the relay's.
func (k *Keeper) Pair(ctx context.Context, a, b Member, need Need) (forA, forB []ice.Server, err error) {
	forA, forB, err = k.pair(ctx, a, b, need)
	if err != nil {
		k.metrics.refused.WithLabelValues(reasonOf(err)).Inc()
	}
	return forA, forB, err
}

func (k *Keeper) pair(ctx context.Context, a, b Member, need Need) (forA, forB []ice.Server, err error) {
	for {
		k.mu.Lock()
		p, err := k.find(ctx, a, b, need)
		switch {
		case err != nil:
			k.mu.Unlock()
			return nil, nil, err
		case time.Now().Before(p.short):
			k.mu.Unlock()
			return nil, nil, ErrShort
		case p.minting == nil && p.minted && need.Bytes > p.need.Bytes && k.cfg.Declare != nil:
			p.need.Bytes = need.Bytes
			credentials := p.credentials
			k.mu.Unlock()
			if err := k.declare(ctx, p, credentials, need.Bytes); err != nil {
				return nil, nil, err
			}
			continue
		case p.minting == nil && p.minted:
			forA, forB = p.of(a)
			k.mu.Unlock()
			return forA, forB, nil
		case p.minting == nil:
			orders := k.orders(p)
			k.mu.Unlock()
			if err := k.mint(ctx, p, orders); err != nil {
				return nil, nil, err
			}
			continue // for what it is now
		}
		minting := p.minting
		k.mu.Unlock()
		select { // both members ask at once where only a relay is allowed
		case <-minting:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// find returns the pair of a and b, or makes one without credentials.
func (k *Keeper) find(ctx context.Context, a, b Member, need Need) (*pair, error) {
	first, second := k.members[a.key()], k.members[b.key()]
	if first == nil || second == nil || first == second || a.Session != b.Session || !first.lost.IsZero() || !second.lost.IsZero() {
		return nil, ErrAbsent
	}
	now := time.Now()
	for _, one := range first.pairs {
		if one.members == [2]key{a.key(), b.key()} || one.members == [2]key{b.key(), a.key()} {
			if now.Before(one.notAfter.Add(-k.cfg.Life / 2)) {
				return one, nil
			}
			k.takeBack(ctx, one)
			break
		}
	}
	// Whoever asks pays.
	if !first.mints.take(now, memberBurst, memberEvery) || !k.limits.take(first.member.Addr, now) {
		return nil, ErrLimited
	}
	made := &pair{members: [2]key{a.key(), b.key()}, need: need, notAfter: now.Add(k.cfg.Life)}
	for _, p := range []*presence{first, second} {
		if len(p.pairs) >= maxPairs {
			k.takeBack(ctx, p.pairs[0])
		}
		p.pairs = append(p.pairs, made)
	}
	k.metrics.pairs.Inc()
	return made, nil
}

// orders begins a mint for p; the caller holds the lock.
func (k *Keeper) orders(p *pair) (orders [2]Order) {
	p.minting = make(chan struct{})
	for i, name := range p.members {
		orders[i] = Order{Until: k.deadline(p), NotAfter: p.notAfter, Need: p.need}
		if m := k.members[name]; m != nil {
			orders[i].Member, orders[i].Auth = m.member, slices.Clone(m.auth)
		}
	}
	return orders
}

// shortFor is how long a pair is refused after what it declared did not fit. The other member, which does not know the
// size, asks as well, and would get what this one can't have.
const shortFor = time.Minute

// declare says the size of what p is for, which the one who asked first did not know. If it does not fit,
// the pair's credentials end.
func (k *Keeper) declare(ctx context.Context, p *pair, credentials [2]Credential, bytes int64) (err error) {
	for _, c := range credentials {
		if err = k.cfg.Declare(ctx, c.Handle, bytes); err != nil {
			err = fmt.Errorf("declare: %w", err)
			break
		}
	}
	if !errors.Is(err, ErrShort) {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !p.over && p.minted {
		k.tell(ctx, p, time.Time{})
		p.credentials, p.minted, p.short = [2]Credential{}, false, time.Now().Add(shortFor)
	}
	return err
}

// mint fills in the pair's credentials. If the pair was taken back meanwhile, or they
// can't be had, nothing stays.
func (k *Keeper) mint(ctx context.Context, p *pair, orders [2]Order) error {
	made, err := k.cfg.Relay.Mint(ctx, orders)
	if err != nil {
		err = fmt.Errorf("mint: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	close(p.minting)
	p.minting = nil
	p.credentials = made
	switch {
	case p.over: // a member left meanwhile
		k.tell(ctx, p, time.Time{})
		return errors.Join(err, ErrAbsent)
	case errors.Is(err, ErrShort):
		p.short = time.Now().Add(shortFor)
		return err
	case err != nil:
		k.takeBack(ctx, p)
		return err
	}
	p.minted = true
	k.metrics.minted.Add(2)
	return nil
}
