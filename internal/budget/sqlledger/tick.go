package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"causeway/internal/budget"
)

const (
	maxPoll     = 5000 // grants of a provider at a tick
	maxLeft     = 1000 // grants that somebody left, at a tick
	askAtOnce   = 500
	askPatience = 30 * time.Second
)

// Tick does what time brings: it asks the providers what their grants have relayed, and charges
// it; says again which accounts are spent while they have open grants; closes grants that somebody left; and forgets
// sessions whose time is over.
// Several at once do no harm: what a provider says is a total, and is charged once. An error is about some of it;
// the next tick tries again.
func (l *Ledger) Tick(ctx context.Context) error {
	if err := l.schema.Ready(ctx); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	var errs []error
	for name, ask := range l.cfg.Usage {
		if err := l.poll(ctx, name, ask); err != nil {
			errs = append(errs, fmt.Errorf("usage of %s: %w", name, err))
		}
	}
	errs = append(errs, l.repeat(ctx), l.closeLeft(ctx))
	before := time.Now().Add(-l.books.Retain()).Unix()
	if _, err := l.db.ExecContext(ctx, l.db.Rebind(oldSessions), before); err != nil {
		errs = append(errs, fmt.Errorf("forget sessions: %w", err))
	}
	return errors.Join(errs...)
}

// entry is a grant to ask about.
type entry struct{ handle, session string }

// entries are those that a query finds.
func (l *Ledger) entries(ctx context.Context, most int, query string, args ...any) (list []entry, err error) {
	rows, err := l.db.QueryContext(ctx, l.db.Rebind(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() && len(list) < most {
		var e entry
		if err := rows.Scan(&e.handle, &e.session); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// poll asks one provider about its grants, and charges what is new.
func (l *Ledger) poll(ctx context.Context, provider string, ask budget.UsageFunc) error {
	list, err := l.entries(ctx, maxPoll, listGrants, provider)
	if err != nil {
		return err
	}
	var errs []error
	for len(list) > 0 && ctx.Err() == nil {
		n := min(len(list), askAtOnce)
		errs = append(errs, l.ask(ctx, list[:n], ask))
		list = list[n:]
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (l *Ledger) ask(ctx context.Context, some []entry, ask budget.UsageFunc) error {
	handles := make([]string, len(some))
	bySession := map[string][]string{}
	for i, e := range some {
		handles[i] = e.handle
		bySession[e.session] = append(bySession[e.session], e.handle)
	}
	asked := time.Now()
	actx, cancel := context.WithTimeout(ctx, askPatience)
	total, err := ask(actx, handles)
	cancel()
	errs := []error{err}
	for session, grants := range bySession {
		errs = append(errs, l.charge(ctx, session, grants, total, err == nil, asked))
	}
	return errors.Join(errs...)
}

// maxClosing is how long a closed grant waits for its provider's last answer.
const maxClosing = time.Hour

// charge counts what the grants of one session have used, and ends those that are closed and
// were asked about once more.
func (l *Ledger) charge(ctx context.Context, session string, grants []string, total map[string]int64, answered bool, asked time.Time) error {
	var errs []error
	err := l.visitPage(ctx, "charge", func(*visit) (string, error) { return session, nil }, func(v *visit) error {
		errs = nil
		closed := map[string]time.Time{}
		for _, g := range v.page.Grants {
			closed[g.ID] = g.Closed
		}
		err := v.do(func(of *budget.Ledger) error {
			for _, id := range grants {
				if n, ok := total[id]; ok {
					if err := of.Charge(id, n); err != nil && !errors.Is(err, budget.ErrUnknown) {
						errs = append(errs, err)
					}
				}
				at := closed[id]
				if !at.IsZero() && (answered && at.Before(asked) || time.Since(at) >= maxClosing) {
					of.Finish(id)
				}
				if of.Exhausted(id) {
					v.events = append(v.events, budget.Event{Kind: budget.Cut, Level: budget.Credential, Session: v.page.ID, Grant: id})
				}
			}
			return nil
		})
		for _, id := range grants {
			if _, failed := v.exec(polledGrant, time.Now().Unix(), key(id)); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// repeat says again that the day's or the month's account is spent.
func (l *Ledger) repeat(ctx context.Context) error {
	day, month, err := l.Status(ctx)
	if err != nil {
		return err
	}
	for level, s := range map[budget.Level]budget.Status{budget.Day: day, budget.Month: month} {
		if s.Left <= 0 && s.Leased <= 0 || s.MoneyCap != budget.Unlimited && s.MoneyLeft <= 0 && s.MoneyLeased <= 0 {
			l.send([]budget.Event{{Kind: budget.Cut, Level: level}})
		}
	}
	return nil
}

// closeLeft ends grants that are older than any credential: who was to close them has died. What they had leased
// counts as spent. Their providers were asked once more, by this tick and in the hour before.
func (l *Ledger) closeLeft(ctx context.Context) error {
	list, err := l.entries(ctx, maxLeft, leftGrants, time.Now().Add(-l.life-maxClosing).Unix())
	if err != nil {
		return fmt.Errorf("list grants that were left: %w", err)
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, l.visitPage(ctx, "close grant that was left", func(*visit) (string, error) { return e.session, nil }, func(v *visit) error {
			return v.do(func(of *budget.Ledger) error {
				of.CloseGrant(e.handle)
				of.Finish(e.handle)
				return nil
			})
		}))
	}
	if len(list) > 0 {
		l.cfg.Logger.WarnContext(ctx, "grants were left open by processes that died", "grants", len(list))
	}
	return errors.Join(errs...)
}
