package app

import (
	"context"
	"errors"
	"time"

	"causeway/internal/budget"
)

// users is the ledger of a relay whose users nobody announces (TURN REST): each gets an account
// when it relays its first byte, with a session's budget, and the account is closed when it
// has been quiet for a while. What it has spent stays spent, for as long as the ledger keeps
// sessions.
type users struct {
	leases
	deadlines *deadlines
}

const (
	userQuiet = 10 * time.Minute
	userSweep = time.Minute
)

func newUsers(l *budget.Ledger) *users {
	return &users{leases: leases{l}, deadlines: newDeadlines(l)}
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

func (u *users) heard(id string) { u.deadlines.at(id, time.Now().Add(userQuiet)) }

// run closes the accounts of quiet users until ctx ends.
func (u *users) run(ctx context.Context) error { return u.deadlines.run(ctx, userSweep, u.Events()) }
