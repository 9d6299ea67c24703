package shared

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/grant"
)

// Tick looks at all pairs once: those with both members there are renewed, others end when Grace is over.
// Several at a time do no harm. An error is about some of them; the next tick tries again.
func (k *Keeper) Tick(ctx context.Context) error {
	began := time.Now()
	var errs []error
	for range maxTick / page {
		pairs, err := k.cfg.Store.List(ctx, Filter{Before: began}, page)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		var g errgroup.Group
		g.SetLimit(atOnce)
		failures := make([]error, len(pairs))
		for i, p := range pairs {
			g.Go(func() error {
				failures[i] = k.visit(ctx, p)
				return nil
			})
		}
		_ = g.Wait() // each kept its own
		errs = append(errs, failures...)
		if len(pairs) < page || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// visit renews or ends one pair.
func (k *Keeper) visit(ctx context.Context, p Pair) error {
	now := time.Now()
	present, err := k.bothPresent(ctx, p)
	if err != nil { // the service does not say: nobody is cut for that
		p.Seen = now
		_, failed := k.cfg.Store.Update(ctx, p)
		return errors.Join(err, failed)
	}
	switch {
	case present:
		p.Lost = time.Time{}
	case p.Lost.IsZero():
		p.Lost = now
	}
	over := !now.Before(p.NotAfter) || !p.Lost.IsZero() && now.Sub(p.Lost) >= k.cfg.Grace || !p.Minted && now.Sub(p.Made) > mintPatience && !now.Before(p.Short)
	if over {
		return k.end(ctx, []Pair{p})
	}
	p.Seen = now
	if there, err := k.cfg.Store.Update(ctx, p); err != nil || !there || !p.Minted {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	for _, c := range p.Credentials {
		err := k.cfg.Relay.Renew(ctx, c.Handle, k.until(now, p), nil)
		if errors.Is(err, grant.ErrGone) { // a budget is spent, or the relay was restarted: who asks again gets a new one
			return k.end(ctx, []Pair{p})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) bothPresent(ctx context.Context, p Pair) (bool, error) {
	for _, peer := range p.Members {
		present, err := k.cfg.Directory.Present(ctx, p.Session, peer)
		if err != nil || !present {
			return false, err
		}
	}
	return true, nil
}
