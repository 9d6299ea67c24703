package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"causeway/internal/config"
	"causeway/internal/plan"
	"causeway/internal/sqldb"
	"causeway/internal/stats"
)

// planStats says which statistics stand in for assumptions.
type planStats struct {
	Stats string        `env:"-" placeholder:"URL" help:"Statistics database of a deployment, as its setting stats names it (sqlite: for the file in the data directory): what was counted stands in for assumptions."`
	Since time.Duration `env:"-" default:"720h" help:"How far back statistics count; the current hour only before a whole one is over."`
}

// measure puts what was counted in the place of what s assumes, and notes that in from.
func (p planStats) measure(ctx context.Context, s plan.Scenario, from map[string]string) (plan.Scenario, error) {
	if p.Stats == "" {
		return s, nil
	}
	const hint = "give the URL that the server has as its setting stats; sqlite:/path/stats.db is a file"
	db, err := sqldb.Open(ctx, sqldb.Config{URL: p.Stats, File: filepath.Join(config.DefaultDataDir(), config.StatsFile), ReadOnly: true})
	if err != nil {
		return s, hinted{fmt.Errorf("--stats: %w", err), hint}
	}
	defer db.Close()
	usage, err := p.usage(ctx, stats.NewStore(db))
	if err != nil {
		return s, hinted{fmt.Errorf("--stats: %w", err), hint}
	}
	s, measured, err := s.With(usage)
	if err != nil {
		return s, hinted{fmt.Errorf("--stats: %w", err), "let the server count for some hours, or look further back with --since"}
	}
	for _, name := range measured {
		from[name] = plan.FromStatistics
	}
	return s, nil
}

func (p planStats) usage(ctx context.Context, store *stats.Store) (plan.Usage, error) {
	to := time.Now().UTC().Truncate(time.Hour)
	begin := to.Add(-p.Since).Truncate(time.Hour)
	first, err := store.First(ctx)
	if err != nil {
		return plan.Usage{}, err
	}
	if first.After(begin) {
		begin = first
	}
	if !begin.Before(to) {
		to = time.Now().UTC() // a server in its first hour: what a session is like is known, not how many a month has
	}
	u, err := store.Usage(ctx, begin, to)
	if err != nil {
		return plan.Usage{}, err
	}
	return plan.Usage{
		From: begin, To: to, Sessions: u.Sessions, Messages: u.Messages,
		DirectBytes: u.BytesByPath["direct"], RelayedBytes: u.BytesByPath["relay"], CarriedBytes: u.RelayBytes,
		// On Azure each of these is one: making and joining a session, a negotiation with
		// the connecting and disconnecting that follow, and a message.
		Executions: u.Sessions + u.Joins + 3*u.Negotiations + u.Messages,
	}, nil
}
