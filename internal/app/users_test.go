package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/budget"
	"causeway/internal/relay/grants"
)

func TestUsersHaveABudgetEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100})
		if err != nil {
			t.Fatal(err)
		}
		u := newUsers(ledger)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- u.run(ctx) }()
		// all spends what the user has, and returns how much that was.
		all := func(user string) (total int64) {
			for {
				n, err := u.Lease(ctx, user, 1<<20)
				if errors.Is(err, grants.ErrSpent) {
					return total
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := u.Settle(ctx, user, n, 0, 0); err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
		if got := all("rest:a"); got != 1_000_000 {
			t.Errorf("a got %d", got)
		}
		if _, err := u.Lease(ctx, "rest:b", 1000); err != nil {
			t.Error(err)
		}
		time.Sleep(userQuiet + 2*userSweep)
		synctest.Wait()
		if len(u.deadlines.due) != 0 {
			t.Error("quiet users stay")
		}
		if err := u.Settle(ctx, "rest:b", 500, 0, 500); err != nil {
			t.Errorf("a late report: %v", err)
		}
		if got := all("rest:a"); got != 0 {
			t.Errorf("a came back, and got %d", got)
		}
		if got := all("rest:b"); got != 999_000 {
			t.Errorf("b got %d after it had leased 1000", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
