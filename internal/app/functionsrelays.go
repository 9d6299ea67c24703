package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay/control"
)

// boughtRelays is what package shared gives out: relay nodes elsewhere, and relays that somebody else
// runs. It keeps nothing but what the configuration and its secrets make.
type boughtRelays struct {
	issuer atomic.Pointer[ice.Chain]                  // nil: there is none
	region string                                     // for those who name none
	nodes  atomic.Pointer[map[string]*control.Client] // relay nodes of ours elsewhere, by name
	ear    *control.Ear                               // for what these say
	ledger accounts
	log    *slog.Logger
}

// newChain makes one Issuer of nodes and the bought ones; nil if there is none.
func newChain(nodes, bought []ice.Named, r *boughtRelays) (*ice.Chain, error) {
	list := nodes
	for _, n := range bought {
		n.Admit = func(ctx context.Context, req ice.Request) error {
			err := refusal(r.ledger.Admits(ctx, boughtChain(req, n.Name), req.Bytes))
			if errors.Is(err, grant.ErrSpent) {
				return fmt.Errorf("%w: %w", ice.ErrRefused, err)
			}
			return err
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return ice.NewChain(list, r.log)
}

// Mint implements grant.Relay.
func (r *boughtRelays) Mint(ctx context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	issuer := r.issuer.Load()
	if issuer == nil {
		return made, grant.ErrNoRelay
	}
	requests := requestsFor(pair, r.region)
	minted, err := issuer.MintAll(ctx, requests)
	if errors.Is(err, ice.ErrRefused) {
		return made, fmt.Errorf("%w: %w", grant.ErrSpent, shortAt(err))
	}
	if err != nil {
		return made, err
	}
	for i, m := range minted {
		name, _ := ice.Split(m.Handle)
		made[i] = grant.Credential{Servers: m.Servers, Handle: m.Handle}
		if n, _ := r.node(m.Handle); n != nil { // it keeps its own books
			continue
		}
		if err := r.ledger.Open(ctx, m.Handle, boughtChain(requests[i], name), requests[i].Bytes); err != nil {
			err = refusal(err)
			for _, m := range minted {
				err = errors.Join(err, r.Revoke(context.WithoutCancel(ctx), m.Handle))
			}
			return [2]grant.Credential{}, err
		}
	}
	return made, nil
}

// Declare is shared.Config's.
func (r *boughtRelays) Declare(ctx context.Context, handle string, bytes int64) error {
	if n, id := r.node(handle); n != nil {
		return shortAt(n.Declare(ctx, id, bytes))
	}
	return refusal(r.ledger.Declare(ctx, handle, bytes))
}

// shortAt makes the budget of a node that is too small known to package grant.
func shortAt(err error) error {
	if errors.Is(err, control.ErrShort) {
		return fmt.Errorf("%w: %w", grant.ErrShort, err)
	}
	return err
}

// Revoke implements grant.Relay.
func (r *boughtRelays) Revoke(ctx context.Context, handle string) error {
	failed := r.ledger.CloseGrant(ctx, handle)
	issuer := r.issuer.Load()
	if issuer == nil { // no longer configured
		return failed
	}
	if err := issuer.Revoke(ctx, handle); !errors.Is(err, errors.ErrUnsupported) {
		return errors.Join(err, failed)
	}
	return failed // ends by its expiry only, as its capabilities say
}

// usage asks the configured providers, through the issuer of the moment.
func (r *boughtRelays) usage(cfg config.Config) map[string]budget.UsageFunc {
	all := map[string]budget.UsageFunc{}
	for _, p := range cfg.Provider {
		if p.Type == "coturn" || p.Type == "cloudflare" && p.Account == "" {
			continue
		}
		all[p.Name] = func(ctx context.Context, grants []string) (map[string]int64, error) {
			issuer := r.issuer.Load()
			if issuer == nil {
				return nil, nil
			}
			return issuer.Usage(ctx, grants)
		}
	}
	return all
}
