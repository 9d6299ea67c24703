package budget

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	usageTimeout = 30 * time.Second // of one question
	// maxClosing is how long a closed grant waits for its provider's last answer.
	maxClosing = time.Hour
)

// Run asks the providers, begins days, and forgets sessions whose time is over, until ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	t := time.NewTicker(l.cfg.Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		l.sweep(time.Now())
		for name, ask := range l.cfg.Usage {
			l.poll(ctx, name, ask)
		}
	}
}

// sweep forgets sessions without grants after Retain.
func (l *Ledger) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(now)
	for id, s := range l.sessions {
		if s.grants == 0 && now.Sub(s.idle) >= l.cfg.Retain {
			delete(l.sessions, id)
		}
	}
}

// poll asks one provider about its grants, and charges the difference.
func (l *Ledger) poll(ctx context.Context, name string, ask UsageFunc) {
	asked := time.Now()
	var ids []string
	l.mu.Lock()
	for id, g := range l.grants {
		if g.provider == name {
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	total, err := ask(ctx, ids)
	if err != nil {
		l.metrics.refuse(failedUsage)
		l.cfg.Logger.Warn("usage of a provider is not known", "provider", name, "err", err)
	}
	for id, n := range total {
		if err := l.Charge(id, n); err != nil {
			l.cfg.Logger.Warn("usage of a provider is not counted", "provider", name, "err", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, id := range ids {
		g, ok := l.grants[id]
		if ok && !g.closed.IsZero() && (err == nil && g.closed.Before(asked) || now.Sub(g.closed) >= maxClosing) {
			l.remove(g, now)
		}
	}
}

// Charge counts what a provider relayed for a grant: total bytes since it was opened. Less
// than before is nothing new. It may overdraw the accounts, and then sends events of kind Cut.
func (l *Ledger) Charge(grantID string, total int64) error {
	if total < 0 || total > maxReport {
		return errors.New("charge: the total makes no sense")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	g, ok := l.grants[grantID]
	if !ok {
		l.metrics.refuse(refusedUnknown)
		return fmt.Errorf("charge: %w", ErrUnknown)
	}
	n := total - g.reported
	if n <= 0 {
		return nil
	}
	g.reported = total
	l.metrics.settled(n, n, 0)
	if err := l.spend(g, 0, n, n); err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	return nil
}
