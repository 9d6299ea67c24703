package app

import (
	"context"
	"sync"
	"time"

	"causeway/internal/budget"
)

// deadlines closes accounts of a ledger when their time has come: those whose end nobody will tell us. It is safe
// for concurrent use.
type deadlines struct {
	ledger *budget.Ledger
	mu     sync.Mutex
	due    map[string]time.Time // grants → when
}

func newDeadlines(l *budget.Ledger) *deadlines {
	return &deadlines{ledger: l, due: map[string]time.Time{}}
}

// at sets when an account is closed, instead of what was set before.
func (d *deadlines) at(id string, when time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due[id] = when
}

// by closes an account then, if it was to be closed later.
func (d *deadlines) by(id string, when time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before, ok := d.due[id]; ok && before.After(when) {
		d.due[id] = when
	}
}

// run closes accounts, with a look at them each time `every` has passed, until ctx ends. It takes the events of a ledger
// that nobody else listens to; they are in the metrics, and there is nobody to tell.
func (d *deadlines) run(ctx context.Context, every time.Duration, events <-chan budget.Event) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.sweep(now)
		case <-events:
		}
	}
}

func (d *deadlines) sweep(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, when := range d.due {
		if !now.Before(when) {
			d.ledger.CloseGrant(id)
			delete(d.due, id)
		}
	}
}
