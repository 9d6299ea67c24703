package grant

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/ice"
)

// Moved is a pair that has credentials of another relay: its members restart ICE.
type Moved struct {
	Members [2]Member
	Servers [2][]ice.Server // in the order of Members
}

const (
	// overlap is how long credentials of a relay that is left are kept alive: until ICE has found
	// its way through the other one.
	overlap = 10 * time.Second
	movers  = 16 // pairs at once
)

// Move gives the pairs whose credentials leaving names those of another relay, and calls tell
// with each, one at a time. What was there lives on for a while, unless gone says that the relay is
// gone. A pair for which there is no other relay keeps what it has, or, with gone, gets new
// credentials when one of its members asks. Moves are not limited: nobody asked for them. It
// returns how many were moved, when all are.
func (k *Keeper) Move(ctx context.Context, gone bool, leaving func(handle string) bool, tell func(context.Context, Moved)) (moved int) {
	var one sync.Mutex
	var g errgroup.Group
	g.SetLimit(movers)
	for _, p := range k.all() {
		g.Go(func() error {
			if m, ok := k.move(ctx, p, gone, leaving); ok {
				one.Lock()
				defer one.Unlock()
				moved++
				tell(ctx, m)
			}
			return nil
		})
	}
	_ = g.Wait() // they return no error
	return moved
}

// all returns the pairs there are.
func (k *Keeper) all() (list []*pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.members {
		for _, p := range m.pairs {
			if p.members[0] == m.member.key() { // once
				list = append(list, p)
			}
		}
	}
	return list
}

func (k *Keeper) move(ctx context.Context, p *pair, gone bool, leaving func(string) bool) (m Moved, ok bool) {
	k.mu.Lock()
	for p.minting != nil { // perhaps at the relay that is being left
		minting := p.minting
		k.mu.Unlock()
		select {
		case <-minting:
		case <-ctx.Done():
			return m, false
		}
		k.mu.Lock()
	}
	if p.over || !p.minted || !leaving(p.credentials[0].Handle) {
		k.mu.Unlock()
		return m, false
	}
	orders := k.orders(p)
	k.mu.Unlock()
	made, err := k.cfg.Relay.Mint(ctx, orders)
	k.mu.Lock()
	defer k.mu.Unlock()
	close(p.minting)
	p.minting = nil
	switch {
	case err != nil:
		k.metrics.moves.WithLabelValues(reasonOf(err)).Inc()
		if gone && !p.over {
			k.takeBack(ctx, p)
		}
		return m, false
	case p.over:
		k.revoke(ctx, p, made)
		return m, false
	}
	k.revoke(ctx, p, p.old) // of the relay before, if it is left, too, so soon
	p.old, p.oldUntil = p.credentials, time.Now().Add(overlap)
	p.credentials = made
	if gone {
		k.revoke(ctx, p, p.old) // its accounts are closed
		p.old, p.oldUntil = [2]Credential{}, time.Time{}
	}
	k.metrics.moves.WithLabelValues("moved").Inc()
	k.metrics.minted.Add(2)
	for i, o := range orders {
		m.Members[i], m.Servers[i] = o.Member, made[i].Servers
	}
	return m, true
}
