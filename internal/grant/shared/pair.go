package shared

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"causeway/internal/grant"
	"causeway/internal/ice"
)

// Pair returns ICE servers for a and for b, who may use a relay with each other, as grant.Keeper does.
func (k *Keeper) Pair(ctx context.Context, a, b grant.Member, need grant.Need) (forA, forB []ice.Server, err error) {
	if a.Session != b.Session || a.Peer == b.Peer {
		return nil, nil, grant.ErrAbsent
	}
	wanted := Pair{ID: pairID(a.Session, a.Peer, b.Peer), Session: a.Session, Members: [2]string{a.Peer, b.Peer}}
	for {
		now := time.Now()
		there, err := k.look(ctx, wanted.ID)
		if err != nil {
			return nil, nil, err
		}
		if there == nil {
			return k.make(ctx, wanted, [2]grant.Member{a, b}, need)
		}
		switch {
		case now.Before(there.Short):
			return nil, nil, grant.ErrShort
		case there.Minted && need.Bytes > there.Bytes && k.cfg.Declare != nil:
			if err := k.declare(ctx, *there, need.Bytes); err != nil {
				return nil, nil, err
			}
			continue
		case there.Minted && now.Before(there.NotAfter.Add(-k.cfg.Life/2)) && k.lives(ctx, now, *there):
			return there.of(a.Peer)
		case there.Minted || !there.Short.IsZero() || now.Sub(there.Made) > mintPatience:
			if err := k.end(ctx, []Pair{*there}); err != nil {
				return nil, nil, err
			}
			continue
		}
		select { // another process mints
		case <-time.After(mintPoll):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// declare says the size of what p is for, which the one who asked first did not know. If it does not fit, the pair's
// credentials end, and it is refused for a while.
func (k *Keeper) declare(ctx context.Context, p Pair, bytes int64) (err error) {
	for _, c := range p.Credentials {
		if err = k.cfg.Declare(ctx, c.Handle, bytes); err != nil {
			break
		}
	}
	p.Bytes = bytes
	if !errors.Is(err, grant.ErrShort) {
		_, failed := k.cfg.Store.Update(ctx, p)
		return errors.Join(err, failed)
	}
	return errors.Join(err, k.short(ctx, p))
}

// short refuses a pair for a while, and takes back what it has.
func (k *Keeper) short(ctx context.Context, p Pair) error {
	had := p.Credentials
	p.Credentials, p.Minted, p.Short = [2]grant.Credential{}, false, time.Now().Add(shortFor)
	_, err := k.cfg.Store.Update(context.WithoutCancel(ctx), p)
	return errors.Join(err, k.revoke(ctx, had))
}

// lives asks the relay whether it still has a pair, of which nobody tells us. If it doesn't answer, it is taken to.
func (k *Keeper) lives(ctx context.Context, now time.Time, p Pair) bool {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	for _, c := range p.Credentials {
		if errors.Is(k.cfg.Relay.Renew(ctx, c.Handle, k.until(now, p), nil), grant.ErrGone) {
			return false
		}
	}
	return true
}

// pairID is the same for both orders of the members.
func pairID(session, a, b string) string {
	if b < a {
		a, b = b, a
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{session, a, b}, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// of returns the servers, those of peer first.
func (p *Pair) of(peer string) (first, second []ice.Server, err error) {
	i := 0
	if p.Members[0] != peer {
		i = 1
	}
	return p.Credentials[i].Servers, p.Credentials[1-i].Servers, nil
}

// look finds a pair by its ID.
func (k *Keeper) look(ctx context.Context, id string) (*Pair, error) {
	pairs, err := k.cfg.Store.List(ctx, Filter{ID: id}, 1)
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	return &pairs[0], nil
}

// make adds a pair, and mints its credentials.
func (k *Keeper) make(ctx context.Context, p Pair, members [2]grant.Member, need grant.Need) (forA, forB []ice.Server, err error) {
	for _, m := range members {
		present, err := k.cfg.Directory.Present(ctx, m.Session, m.Peer)
		if err != nil {
			return nil, nil, fmt.Errorf("presence: %w", err)
		}
		if !present {
			return nil, nil, grant.ErrAbsent
		}
	}
	now := time.Now()
	if err := k.pay(ctx, members[0], now); err != nil {
		return nil, nil, err
	}
	for _, m := range members {
		if err := k.makeRoom(ctx, m); err != nil {
			return nil, nil, err
		}
	}
	p.Made, p.NotAfter, p.Seen, p.Bytes = now, now.Add(k.cfg.Life), now, need.Bytes
	there, mine, err := k.cfg.Store.Claim(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	if !mine { // both asked at once
		return k.Pair(ctx, members[0], members[1], need)
	}
	return k.mint(ctx, there, members, need)
}

// pay takes a token of who asks, and of its network.
func (k *Keeper) pay(ctx context.Context, m grant.Member, now time.Time) error {
	for _, b := range grant.Buckets(m) {
		ok, err := k.cfg.Store.Take(ctx, b.Name, now, b.Burst, b.Every)
		if err != nil {
			return err
		}
		if !ok {
			return grant.ErrLimited
		}
	}
	return nil
}

// makeRoom takes the oldest pair of a member back that has as many as it may.
func (k *Keeper) makeRoom(ctx context.Context, m grant.Member) error {
	pairs, err := k.cfg.Store.List(ctx, Filter{Session: m.Session, Peer: m.Peer}, maxPairs)
	if err != nil || len(pairs) < maxPairs {
		return err
	}
	oldest := pairs[0]
	for _, p := range pairs {
		if p.Made.Before(oldest.Made) {
			oldest = p
		}
	}
	return k.end(ctx, []Pair{oldest})
}

// mint fills in the pair's credentials. If it was ended meanwhile, or the second can't be had,
// nothing stays.
func (k *Keeper) mint(ctx context.Context, p Pair, members [2]grant.Member, need grant.Need) (forA, forB []ice.Server, err error) {
	members[1].Terms = members[0].Terms // the session's
	var orders [2]grant.Order
	for i, m := range members {
		orders[i] = grant.Order{Member: m, Until: k.until(time.Now(), p), NotAfter: p.NotAfter, Need: need}
	}
	if p.Credentials, err = k.cfg.Relay.Mint(ctx, orders); err != nil {
		err = fmt.Errorf("mint: %w", err)
	} else {
		p.Minted = true
		var there bool
		if there, err = k.cfg.Store.Update(ctx, p); err == nil && !there { // a member left meanwhile
			err = grant.ErrAbsent
		}
	}
	if errors.Is(err, grant.ErrShort) {
		return nil, nil, errors.Join(err, k.short(ctx, p))
	}
	if err != nil {
		undo := context.WithoutCancel(ctx)
		_, gone := k.cfg.Store.End(undo, p.ID)
		return nil, nil, errors.Join(err, gone, k.revoke(undo, p.Credentials))
	}
	return p.of(members[0].Peer)
}

// until is how long a pair lives without a further tick: one may be late, or missing.
func (k *Keeper) until(now time.Time, p Pair) time.Time {
	until := now.Add(2*k.cfg.Every + k.cfg.Grace)
	if !p.Lost.IsZero() && p.Lost.Add(k.cfg.Grace).Before(until) {
		until = p.Lost.Add(k.cfg.Grace)
	}
	if p.NotAfter.Before(until) {
		return p.NotAfter
	}
	return until
}
