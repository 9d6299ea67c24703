package purse

import (
	"context"
	"errors"
	"sync"
	"time"

	"causeway/internal/budget"
	"causeway/internal/budget/sqlledger"
	"causeway/internal/guard"
)

const (
	patience = 3 * time.Second
	// age is how old what is known of the money may be. It decides about what ends before the caps
	// only; those hold by what is taken.
	age = 10 * time.Second
	// awayFor is how long a database that failed is not asked again, so that requests don't queue for it.
	awayFor = 5 * time.Second
)

var errAway = errors.New("the database of the budgets does not answer")

// Shared is the money of all instances, as the guard knows it. Requests wait for the database only
// when money is taken, which is a thousandth of the cap at a time, and if anything but the relay has a price.
type Shared struct {
	ledger *sqlledger.Ledger
	limit  int64         // the smaller cap in money; 0: none
	look   chan struct{} // for Run

	mu     sync.Mutex
	state  guard.State
	looked time.Time
	away   time.Time // until when the database is not asked for money
}

// NewShared returns a Shared with the caps that are configured; 0: none. Run it.
func NewShared(l *sqlledger.Ledger, day, month int64) *Shared {
	limit := min(day, month)
	if limit == 0 {
		limit = max(day, month)
	}
	return &Shared{ledger: l, limit: limit, look: make(chan struct{}, 1), state: guard.State{Cap: limit}}
}

// State implements guard.Purse, by what was known last.
func (p *Shared) State() guard.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) >= age {
		p.looked = time.Now()
		select {
		case p.look <- struct{}{}:
		default: // it is about to
		}
	}
	return p.state
}

// Run looks at the accounts when State wants it, until ctx ends.
func (p *Shared) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.look:
			p.refresh(ctx)
		}
	}
}

func (p *Shared) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	day, month, err := p.ledger.Status(ctx)
	if err != nil { // what was known holds; Take knows better
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = stateOf(day, month)
}

// Take implements guard.Purse. It fails if the database does not answer: what nobody can count is not spent.
func (p *Shared) Take(want int64) (int64, error) {
	p.mu.Lock()
	away := time.Now().Before(p.away)
	p.mu.Unlock()
	if away {
		return 0, errAway
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n, err := p.ledger.Take(ctx, want)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.looked = time.Time{} // the next State has it looked at
		if !errors.Is(err, budget.ErrSpent) {
			p.away = time.Now().Add(awayFor)
		}
	}
	return n, err
}

// Relaying tells whether a session has used a relay. It is asked when money is short only.
func (p *Shared) Relaying(session string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, ok, err := p.ledger.Session(ctx, session)
	return ok && err == nil
}
