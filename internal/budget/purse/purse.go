// Package purse is the money of a ledger as package guard knows it: Own of a ledger in this process, Shared
// of one in a database.
package purse

import (
	"context"

	"causeway/internal/budget"
	"causeway/internal/guard"
)

// Own is the money of a ledger in this process.
type Own struct{ *budget.Ledger }

var (
	_ guard.Purse = Own{}
	_ guard.Purse = (*Shared)(nil)
)

// Take implements guard.Purse.
func (p Own) Take(want int64) (int64, error) { return p.Ledger.Take(context.Background(), want) }

// State implements guard.Purse.
func (p Own) State() guard.State { return stateOf(p.Status()) }

// Relaying tells whether a session has used a relay.
func (p Own) Relaying(session string) bool {
	_, ok := p.Session(session)
	return ok
}

// stateOf is how much of the caps is used.
func stateOf(day, month budget.Status) guard.State {
	share := func(used, limit int64) float64 {
		if limit <= 0 || limit == budget.Unlimited {
			return 0
		}
		return float64(used) / float64(limit)
	}
	s := guard.State{
		Day: share(day.MoneyDelivered+day.MoneyLeased, day.MoneyCap), Month: share(month.MoneyDelivered+month.MoneyLeased, month.MoneyCap),
		DayBytes: share(day.Delivered+day.Leased, day.Cap), MonthBytes: share(month.Delivered+month.Leased, month.Cap),
	}
	if limit := min(day.MoneyCap, month.MoneyCap); limit != budget.Unlimited {
		s.Cap = limit
	}
	return s
}
