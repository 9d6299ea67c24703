package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/ops"
	"causeway/internal/relay/control"
)

// books is the ledger of a node that has no control plane to lease from: those who put grants have no memory. It
// counts sessions, days and months by itself.
type books struct {
	leases
	mu   sync.Mutex
	ends map[string]time.Time // grants → when their account is closed
}

func newBooks(cfg NodeConfig, log *slog.Logger, o *ops.Ops) (*books, error) {
	limit := func(s config.Size) budget.Cap { return budget.Cap{Bytes: int64(s)} }
	l, err := budget.New(budget.Config{
		Dir:     filepath.Join(cfg.Budgets.Dir, budgetDir),
		Session: limit(cfg.Link.Session), Day: limit(cfg.Budgets.Day), Month: limit(cfg.Budgets.Month),
		MemberShare: 100, Logger: log.With("part", "budget"), Registerer: o.Registry,
	})
	if err != nil {
		return nil, err
	}
	return &books{leases: leases{l}, ends: map[string]time.Time{}}, nil
}

// open makes the account of a grant.
func (b *books) open(id string, g control.Grant) error {
	err := b.Open(id, budget.Chain{Session: g.Session, Member: g.Member, Daily: budget.Cap{Bytes: g.Day}}, g.Bytes)
	if errors.Is(err, budget.ErrSpent) {
		return fmt.Errorf("%w: %w", control.ErrSpent, err)
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[id] = time.Now().Add(time.Duration(g.Most)*time.Millisecond + settleIn)
	return nil
}

// end closes an account when the relay has settled.
func (b *books) end(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.ends[id]; ok && at.After(time.Now().Add(settleIn)) {
		b.ends[id] = time.Now().Add(settleIn)
	}
}

// run closes accounts until ctx ends.
func (b *books) run(ctx context.Context) error {
	tick := time.NewTicker(settleIn / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			b.sweep(now)
		case <-b.Events(): // in the metrics; there is nobody to tell
		}
	}
}

func (b *books) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, at := range b.ends {
		if !now.Before(at) {
			b.CloseGrant(id)
			delete(b.ends, id)
		}
	}
}
