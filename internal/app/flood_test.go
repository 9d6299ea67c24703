//go:build linux

package app

import (
	"net/http"
	"testing"
	"time"

	"causeway/internal/bench/flood"
	"causeway/internal/config"
)

// TestFlood is the short form of causeway bench guard, over real connections: honest users get in, and the
// cap holds, whatever the attack does. Package guard has the same in virtual time.
func TestFlood(t *testing.T) {
	for name, c := range map[string]flood.Config{
		"one network":              {Attack: 200, Networks: 1},
		"1000 networks":            {Attack: 200, Networks: 1000},
		"1000 networks, with work": {Attack: 200, Networks: 1000, Solvers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 2000 // millionths; the attack could spend 6000
			a, base := started(t, func(c *config.Config) {
				c.Listen, c.DayMoney, c.ExecutionPrice, c.WorkFrom = "127.0.0.1:0", limit, 10_000_000, 15
			})
			c.Base, c.Duration, c.Honest = base, 3*time.Second, 5
			r, err := flood.Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
			if r.Tried < 10 || r.Share() < 0.95 {
				t.Errorf("%d of %d honest users got in; the last failure: %s", r.In, r.Tried, r.Why)
			}
			// Half of what arrived is refused at the least: the guard, and not the machine, is what stops it.
			if r.Refused < r.Served {
				t.Errorf("the attack asked for %d sessions and got %d", r.Asked, r.Served)
			}
			day, _ := a.ledger.Status()
			if day.MoneyDelivered == 0 || day.MoneyDelivered > limit {
				t.Errorf("%d millionths spent of %d", day.MoneyDelivered, limit)
			}
			if a := asked(t, http.MethodGet, base+"/", ""); a.status != http.StatusOK {
				t.Errorf("the page afterwards: %d", a.status)
			}
		})
	}
}
