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
	log       *slog.Logger
	tellers   []*control.Teller // of control planes
	deadlines *deadlines
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
	return booksOf(l, log.With("part", "budget")), nil
}

func booksOf(l *budget.Ledger, log *slog.Logger) *books {
	return &books{leases: leases{l}, log: log, deadlines: newDeadlines(l)}
}

// open makes the account of a grant.
func (b *books) open(id string, g control.Grant) error {
	err := b.Open(id, budget.Chain{Session: g.Session, Member: g.Member, Daily: budget.Cap{Bytes: g.Day}}, g.Bytes)
	if err = bookError(err); err != nil {
		return err
	}
	b.deadlines.at(id, time.Now().Add(time.Duration(g.Most)*time.Millisecond+settleIn))
	return nil
}

// declare adds to what a grant is for.
func (b *books) declare(id string, bytes int64) error { return bookError(b.Declare(id, bytes)) }

// bookError makes a budget's refusal known to package control.
func bookError(err error) error {
	switch {
	case errors.Is(err, budget.ErrShort):
		return fmt.Errorf("%w: %w", control.ErrShort, err)
	case errors.Is(err, budget.ErrSpent):
		return fmt.Errorf("%w: %w", control.ErrSpent, err)
	}
	return err
}

// end closes an account when the relay has settled.
func (b *books) end(id string) { b.deadlines.by(id, time.Now().Add(settleIn)) }

// run closes accounts until ctx ends.
func (b *books) run(ctx context.Context) error { return b.deadlines.run(ctx, settleIn/4, nil) }

// How often, and after which pauses, a control plane is told that does not answer.
const (
	tellTimes = 4
	tellPause = time.Second
)

// tell passes on what the ledger says of sessions until ctx ends. A day or a month is this node's, and of no
// concern to members whose relay is elsewhere: who asks for a relay again is told. Several control planes have
// the node when they are regions of one; a session's members are at one of them.
func (b *books) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-b.Events():
			if e.Session == "" {
				continue
			}
			var all sync.WaitGroup
			for _, t := range b.tellers {
				all.Go(func() {
					b.tellOne(ctx, t, control.Told{Level: e.Level.String(), Spent: e.Kind == budget.Cut, Session: e.Session, Member: e.Member})
				})
			}
			all.Wait()
		}
	}
}

func (b *books) tellOne(ctx context.Context, t *control.Teller, what control.Told) {
	for i := range tellTimes {
		err := t.Tell(ctx, what)
		if err == nil || ctx.Err() != nil {
			return
		}
		if i == tellTimes-1 || errors.Is(err, control.ErrDenied) {
			b.log.WarnContext(ctx, "members are not told of their budget", "err", err)
			return
		}
		select {
		case <-time.After(tellPause << i):
		case <-ctx.Done():
		}
	}
}
