package app

import (
	"context"
	"errors"
	"fmt"

	"causeway/internal/budget"
	"causeway/internal/grant"
	"causeway/internal/ice"
)

// Declare is grant.Config's. Accounts of our own relay and of nodes have the ids of grants, those of others handles.
func (r *relays) Declare(_ context.Context, handle string, bytes int64) error {
	account := handle
	if name, id := ice.Split(handle); !r.buys(name) {
		account = id
	}
	return refusal(r.ledger.Declare(account, bytes))
}

// moved tells relays where a member signals from now: it may be at any of them.
func (r *relays) moved(m grant.Member) {
	if r.own != nil {
		r.own.Moved(m.Session, m.Peer, m.Addr)
	}
	if r.fleet == nil {
		return
	}
	for _, n := range r.fleet.nodes {
		n.Moved(m.Session, m.Peer, m.Addr)
	}
}

// short makes a budget that is too small known to package grant.
func short(err error) error {
	if errors.Is(err, budget.ErrShort) {
		return fmt.Errorf("%w: %w", grant.ErrShort, err)
	}
	return err
}
