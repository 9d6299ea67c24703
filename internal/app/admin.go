package app

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"causeway/internal/admin"
	"causeway/internal/budget"
	"causeway/internal/guard"
	"causeway/internal/ops"
	"causeway/internal/secret"
)

// openAdmin adds what the page /admin asks for, if there is a token for it.
func (a *App) openAdmin(ctx context.Context, mux *http.ServeMux) error {
	if a.cfg.AdminToken == "" {
		return nil
	}
	ref, err := secret.ParseRef(a.cfg.AdminToken)
	if err != nil {
		return fmt.Errorf("admin_token: %w", err)
	}
	token, err := resolver(a.cfg).Resolve(ctx, ref)
	if err != nil {
		return fmt.Errorf("admin_token: %w", err)
	}
	page, err := admin.New(admin.Config{
		Token: token, Metrics: a.ops.Registry, Sessions: adminSessions{a}, Blocks: adminBlocks{a.guard},
		Budgets: a.accounts, Version: ops.Version(), Logger: a.log.With("part", "admin"),
	})
	if err != nil {
		return err
	}
	page.Routes(mux)
	return nil
}

// adminSessions is the keeper and the ledger as package admin knows them.
type adminSessions struct{ app *App }

// List implements admin.Sessions.
func (s adminSessions) List() []admin.Session {
	states := s.app.grants.Sessions()
	list := make([]admin.Session, len(states))
	for i, st := range states {
		list[i] = admin.Session{ID: st.ID, Members: st.Members, Connections: st.Connections, Pairs: st.Pairs}
		if account, ok := s.app.ledger.Session(st.ID); ok {
			list[i].Relayed, list[i].Cap = account.Delivered, account.Cap
		}
	}
	return list
}

// End implements admin.Sessions.
func (s adminSessions) End(ctx context.Context, id string) (bool, error) {
	return s.app.signaling.End(ctx, id), nil
}

// accounts are those of the day and the month.
func (a *App) accounts() []admin.Account {
	day, month := a.ledger.Status()
	return []admin.Account{accountOf("Today (UTC)", day), accountOf("This month (UTC)", month)}
}

func accountOf(name string, s budget.Status) admin.Account {
	of := admin.Account{Name: name, Cap: s.Cap, Left: s.Left, Spent: s.Delivered, Leased: s.Leased, Money: float64(s.MoneyDelivered) / 1e6}
	if s.MoneyCap != budget.Unlimited {
		of.MoneyCap = float64(s.MoneyCap) / 1e6
	}
	return of
}

// adminBlocks is the guard as package admin knows it.
type adminBlocks struct{ guard *guard.Guard }

// Block implements admin.Blocks.
func (b adminBlocks) Block(p netip.Prefix, until time.Time) error { return b.guard.Block(p, until) }

// Unblock implements admin.Blocks.
func (b adminBlocks) Unblock(p netip.Prefix) bool { return b.guard.Unblock(p) }

// List implements admin.Blocks.
func (b adminBlocks) List() []admin.Block {
	list := []admin.Block{}
	for _, one := range b.guard.Blocks() {
		of := admin.Block{Prefix: one.Prefix}
		if !one.Until.IsZero() {
			of.Until = &one.Until
		}
		list = append(list, of)
	}
	return list
}
