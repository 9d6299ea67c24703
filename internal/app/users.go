package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"causeway/internal/budget"
)

// users is the ledger of a relay whose users nobody announces (TURN REST): each gets an account
// when it relays its first byte, with a session's budget, and the account is closed when it
// has been quiet for a while. What it has spent stays spent, for as long as the ledger keeps
// sessions.
type users struct {
	leases
	mu   sync.Mutex
	last map[string]time.Time // when a user was heard of
}

const (
	userQuiet = 10 * time.Minute
	userSweep = time.Minute
)

func newUsers(l *budget.Ledger) *users {
	return &users{leases: leases{l}, last: map[string]time.Time{}}
}

// Lease implements relay.Ledger.
func (u *users) Lease(ctx context.Context, id string, want int64) (int64, error) {
	n, err := u.leases.Lease(ctx, id, want)
	if errors.Is(err, budget.ErrUnknown) {
		if err := u.Open(id, budget.Chain{Session: id, Member: id}, 0); err != nil {
			return 0, spentOf(err)
		}
		n, err = u.leases.Lease(ctx, id, want)
	}
	u.heard(id)
	return n, err
}

// Settle implements relay.Ledger. What comes after an account was closed is counted already: closing
// counted all that was leased.
func (u *users) Settle(ctx context.Context, id string, delivered, charged, returned int64) error {
	err := u.leases.Settle(ctx, id, delivered, charged, returned)
	if errors.Is(err, budget.ErrUnknown) {
		return nil
	}
	u.heard(id)
	return err
}

func (u *users) heard(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last[id] = time.Now()
}

// run closes the accounts of quiet users until ctx ends.
func (u *users) run(ctx context.Context) error {
	tick := time.NewTicker(userSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			u.sweep(now)
		case <-u.Events(): // in the metrics; there is nobody to tell
		}
	}
}

func (u *users) sweep(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, at := range u.last {
		if now.Sub(at) >= userQuiet {
			u.CloseGrant(id)
			delete(u.last, id)
		}
	}
}
