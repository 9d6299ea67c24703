package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"causeway/internal/budget"
	"causeway/internal/budget/purse"
	"causeway/internal/budget/sqlledger"
)

// accounts is the ledger as functions need it: in the database that instances share, or in memory.
type accounts interface {
	Open(ctx context.Context, grantID string, c budget.Chain, declared int64) error
	Admits(ctx context.Context, c budget.Chain, declared int64) error
	Declare(ctx context.Context, grantID string, declared int64) error
	CloseGrant(ctx context.Context, grantID string) error
	// Tick does what time brings; a timer calls it each minute, at one of the instances.
	Tick(ctx context.Context) error
	Events() <-chan budget.Event
	Delivered() int64
}

var (
	_ accounts = (*sqlledger.Ledger)(nil)
	_ accounts = ownAccounts{}
)

// ownAccounts is the ledger of one instance, which knows of no other.
type ownAccounts struct{ *budget.Ledger }

// Open implements accounts.
func (a ownAccounts) Open(_ context.Context, grantID string, c budget.Chain, declared int64) error {
	return a.Ledger.Open(grantID, c, declared)
}

// Admits implements accounts.
func (a ownAccounts) Admits(_ context.Context, c budget.Chain, declared int64) error {
	return a.Ledger.Admits(c, declared)
}

// Declare implements accounts.
func (a ownAccounts) Declare(_ context.Context, grantID string, declared int64) error {
	return a.Ledger.Declare(grantID, declared)
}

// CloseGrant implements accounts.
func (a ownAccounts) CloseGrant(_ context.Context, grantID string) error {
	a.Ledger.CloseGrant(grantID)
	return nil
}

// Tick implements accounts: Run does all of it.
func (a ownAccounts) Tick(context.Context) error { return nil }

// openLedger opens the ledger: in the database of the state, if there is one.
func (f *Functions) openLedger() (err error) {
	usage := f.relays.usage(f.cfg)
	log := f.log.With("part", "budget")
	if db := f.shared(); db != nil {
		l, err := sqlledger.New(db, budgetConfig(f.cfg, usage, log), f.credentialLife())
		if err != nil {
			return fmt.Errorf("budget: %w", err)
		}
		f.ledger = l
		f.purse = purse.NewShared(l, int64(f.cfg.DayMoney), int64(f.cfg.MonthMoney))
	} else {
		if f.own, err = openBudget(f.cfg, "", usage, f.ops.Registry, log); err != nil {
			return err
		}
		f.ledger = ownAccounts{f.own}
	}
	f.relays.ledger = f.ledger
	return nil
}

// credentialLife is how long a credential is good at most.
func (f *Functions) credentialLife() time.Duration {
	return max(f.cfg.RelayGrace, min(f.cfg.Lifetime, maxCredential))
}

// watchBudget acts on what the ledger says until ctx ends.
func (f *Functions) watchBudget(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.ledger.Events():
			f.spent(ctx, e)
		case done := <-f.fence:
			for len(f.ledger.Events()) > 0 {
				f.spent(ctx, <-f.ledger.Events()) // nobody else takes them
			}
			close(done)
		}
	}
}

// tickBudget asks what was relayed. When it returns, watchBudget has acted on it: the host may put this
// instance to sleep then.
func (f *Functions) tickBudget(ctx context.Context) error {
	err := f.ledger.Tick(ctx)
	done := make(chan struct{})
	select {
	case f.fence <- done:
		<-done
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// spent takes credentials back that an empty account concerns, and tells members. A shared ledger
// says Cut again with each tick, as who was to act may have died; then members are told only if
// there was something to take back.
func (f *Functions) spent(ctx context.Context, e budget.Event) {
	p := f.parts.Load()
	ended := 0
	if e.Kind == budget.Cut {
		var err error
		if ended, err = p.keeper.Spent(ctx, e.Session, e.Member, e.Grant); err != nil {
			f.log.WarnContext(ctx, "a bought credential outlives its budget", "err", err)
		}
	}
	if ended > 0 || f.told.first(e, time.Now()) {
		p.signaling.Budget(ctx, e)
	}
}

// told is what members of all sessions were told, by this instance.
type told struct {
	mu   sync.Mutex
	days map[budget.Event]string
}

// first tells whether an event is to be told though nothing ended by it. A session's is, as a ledger says it
// once, but for a credential's; the day's and the month's once a day.
func (t *told) first(e budget.Event, now time.Time) bool {
	if e.Session != "" {
		return e.Kind == budget.Warning || e.Level != budget.Credential
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.days == nil {
		t.days = map[budget.Event]string{}
	}
	day := now.UTC().Format(time.DateOnly)
	if t.days[e] == day {
		return false
	}
	t.days[e] = day
	return true
}
