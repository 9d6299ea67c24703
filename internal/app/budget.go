package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/ice"
)

// budgetDir is where the ledger is kept, in the data directory.
const budgetDir = "budget"

// openBudget opens the ledger that everything relayed is counted in: by our relay, under the ids
// of its grants, and by bought ones, under the handles of an ice.Chain. It is kept in dir; in memory
// only, if that is empty.
func openBudget(cfg config.Config, dir string, usage map[string]budget.UsageFunc, reg prometheus.Registerer, logger *slog.Logger) (*budget.Ledger, error) {
	c := budgetConfig(cfg, usage, logger)
	c.Dir, c.Registerer = dir, reg
	l, err := budget.New(c)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return l, nil
}

// budgetConfig is what is configured for a ledger, wherever it is kept.
func budgetConfig(cfg config.Config, usage map[string]budget.UsageFunc, logger *slog.Logger) budget.Config {
	c := cfg.Budget
	limit := func(bytes config.Size, money config.Money) budget.Cap {
		return budget.Cap{Bytes: int64(bytes), Money: int64(money)}
	}
	prices := map[string]int64{"": int64(c.RelayPrice)}
	for _, p := range c.Provider {
		prices[p.Name] = int64(p.Price)
	}
	for _, n := range cfg.RelayNode {
		prices[n.Name] = int64(n.Price)
		if n.Price == 0 {
			prices[n.Name] = int64(c.RelayPrice)
		}
	}
	return budget.Config{
		Session:     limit(c.SessionBudget, c.SessionMoney),
		Day:         limit(c.DayBudget, c.DayMoney),
		Month:       limit(c.MonthBudget, c.MonthMoney),
		MemberShare: c.MemberShare,
		Allowance:   int64(c.Allowance),
		Prices:      prices,
		Retain:      cfg.Lifetime,
		Usage:       usage,
		Logger:      logger,
	}
}

// usageOf asks those of list that tell what they relayed; grants are handles of an ice.Chain.
func usageOf(list []ice.Named) map[string]budget.UsageFunc {
	all := map[string]budget.UsageFunc{}
	for _, n := range list {
		if !n.Issuer.Capabilities().Usage {
			continue
		}
		all[n.Name] = func(ctx context.Context, grants []string) (map[string]int64, error) {
			handles := make([]string, len(grants))
			for i, g := range grants {
				_, handles[i] = ice.Split(g)
			}
			part, err := n.Issuer.Usage(ctx, handles)
			total := make(map[string]int64, len(part))
			for h, bytes := range part {
				total[n.Name+":"+h] = bytes
			}
			return total, err
		}
	}
	return all
}

// openProviders makes the issuers of bought relays, in the order of the configuration.
func openProviders(ctx context.Context, cfg config.Config, get getSecret) ([]ice.Named, error) {
	var list []ice.Named
	for _, p := range cfg.Provider {
		issuer, err := openProvider(ctx, p, cfg.ProviderRegion, get)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		list = append(list, ice.Named{Name: p.Name, Issuer: issuer})
	}
	return list, nil
}

func openProvider(ctx context.Context, p config.Provider, region string, get getSecret) (ice.Issuer, error) {
	key, err := get.text(ctx, "secret", p.Secret)
	if err != nil {
		return nil, err
	}
	switch p.Type {
	case "coturn":
		return ice.NewCoturn(p.URL, key)
	case "metered":
		if p.Region != "" {
			region = p.Region
		}
		return ice.NewMetered(ice.MeteredConfig{Base: p.Origin(), SecretKey: key, Region: region})
	case "cloudflare":
		token, err := get.text(ctx, "analytics", p.Analytics)
		if err != nil {
			return nil, err
		}
		return ice.NewCloudflare(ice.CloudflareConfig{KeyID: p.KeyID, Key: key, Account: p.Account, Analytics: token})
	}
	return nil, errors.New("its type is not known")
}
