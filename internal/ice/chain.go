package ice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Named is an Issuer with the name that it has in the configuration, which is also that of
// its price.
type Named struct {
	Name   string // without a colon
	Issuer Issuer
	Region string // that its relay is in; who asks for that is served there first
	// Admit, if it is not nil, says whether somebody may have a credential before one is made, as that costs
	// a call to somebody else. ErrRefused ends the search, as with Mint.
	Admit func(context.Context, Request) error
}

// Chain is an Issuer that asks others in order: our own relay first, and bought ones when
// it is full or away. A refusal (ErrRefused) ends the search: what a budget denies here is not
// bought elsewhere.
type Chain struct {
	list []Named
	log  *slog.Logger
}

// NewChain takes the Issuers in their order, at least one. logger may be nil.
func NewChain(list []Named, logger *slog.Logger) (*Chain, error) {
	if len(list) == 0 {
		return nil, errors.New("ice: no provider")
	}
	seen := map[string]bool{}
	for _, n := range list {
		if n.Name == "" || strings.Contains(n.Name, ":") || seen[n.Name] || n.Issuer == nil {
			return nil, fmt.Errorf("ice: provider %q: want a name of its own", n.Name)
		}
		seen[n.Name] = true
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Chain{append([]Named(nil), list...), logger}, nil
}

// Mint returns the first answer. The handle begins with the Issuer's name and a colon.
func (c *Chain) Mint(ctx context.Context, r Request) (Minted, error) {
	all, err := c.MintAll(ctx, []Request{r})
	if err != nil {
		return Minted{}, err
	}
	return all[0], nil
}

// MintAll is Mint for several members, by one and the same Issuer: at its relay each can be the other's
// peer. With an error, none stays. The Region is the first one's.
func (c *Chain) MintAll(ctx context.Context, all []Request) ([]Minted, error) {
	if len(all) == 0 {
		return nil, errors.New("mint: for nobody")
	}
	var errs []error
	for _, n := range c.from(all[0].Region) {
		if all[0].Closed && !n.Issuer.Capabilities().PeerPolicy {
			errs = append(errs, fmt.Errorf("%s has no closed relays", n.Name))
			continue
		}
		made, err := n.mintAll(ctx, all)
		if err == nil {
			return made, nil
		}
		errs = append(errs, err)
		if errors.Is(err, ErrRefused) || ctx.Err() != nil {
			break
		}
		if !errors.Is(err, ErrAway) { // which is known
			c.log.Warn("a turn provider does not mint", "provider", n.Name, "err", err)
		}
	}
	return nil, errors.Join(errs...)
}

// from is the order in which to ask for a region.
func (c *Chain) from(region string) []Named {
	list := slices.Clone(c.list)
	if region != "" {
		slices.SortStableFunc(list, func(a, b Named) int {
			switch near := a.Region == region; {
			case near == (b.Region == region):
				return 0
			case near:
				return -1
			}
			return 1
		})
	}
	return list
}

func (n Named) mintAll(ctx context.Context, all []Request) ([]Minted, error) {
	if n.Admit != nil {
		for _, r := range all {
			if err := n.Admit(ctx, r); err != nil {
				return nil, err
			}
		}
	}
	made := make([]Minted, len(all))
	for i, r := range all {
		m, err := n.Issuer.Mint(ctx, r)
		if err != nil {
			for _, before := range made[:i] {
				_, own := Split(before.Handle)
				if undo := n.Issuer.Revoke(context.WithoutCancel(ctx), own); undo != nil && !errors.Is(undo, errors.ErrUnsupported) {
					err = errors.Join(err, undo)
				}
			}
			return nil, err
		}
		m.Handle = n.Name + ":" + m.Handle
		made[i] = m
	}
	return made, nil
}

// Split takes a handle of Mint apart: whose it is, and that Issuer's own handle.
func Split(handle string) (name, own string) {
	name, own, _ = strings.Cut(handle, ":")
	return name, own
}

// Revoke asks the one who minted.
func (c *Chain) Revoke(ctx context.Context, handle string) error {
	name, own := Split(handle)
	for _, n := range c.list {
		if n.Name == name {
			return n.Issuer.Revoke(ctx, own)
		}
	}
	return fmt.Errorf("revoke: there is no provider %q", name)
}

// Usage asks those who minted; one that has no usage is left out.
func (c *Chain) Usage(ctx context.Context, handles []string) (map[string]int64, error) {
	byName := map[string][]string{}
	for _, h := range handles {
		name, own := Split(h)
		byName[name] = append(byName[name], own)
	}
	total := map[string]int64{}
	var errs []error
	for _, n := range c.list {
		if len(byName[n.Name]) == 0 {
			continue
		}
		part, err := n.Issuer.Usage(ctx, byName[n.Name])
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			errs = append(errs, err)
		}
		for own, bytes := range part {
			total[n.Name+":"+own] = bytes
		}
	}
	return total, errors.Join(errs...)
}

// Capabilities is what all of them do.
func (c *Chain) Capabilities() Capabilities {
	weakest := c.list[0].Issuer.Capabilities()
	for _, n := range c.list[1:] {
		weakest = weakest.weakest(n.Issuer.Capabilities())
	}
	return weakest
}
