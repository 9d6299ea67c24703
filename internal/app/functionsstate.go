package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"causeway/internal/config"
	"causeway/internal/grant/shared"
	"causeway/internal/grant/sharedsql"
	"causeway/internal/sqldb"
)

// openState opens the database that instances share: statistics, who may use relays, and
// what was relayed. It
// connects to none: signaling works while the database is away.
func (f *Functions) openState(ctx context.Context) error {
	f.stats = &statistics{log: f.log.With("part", "stats")}
	open := func(key, url string) (*sqldb.DB, error) {
		db, err := sqldb.Open(ctx, sqldb.Config{URL: url, Resolver: resolver(f.cfg)})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return db, nil
	}
	var err error
	// A file would be the instance's, and go with it.
	if f.cfg.Stats != config.StatsOff && f.cfg.Stats != "sqlite:" {
		if f.stats.db, err = open("stats", f.cfg.Stats); err != nil {
			return err
		}
	}
	if f.cfg.State != "" {
		if f.database, err = open("state", f.cfg.State); err != nil {
			return err
		}
	}
	if db := f.shared(); db != nil {
		f.store = sharedsql.New(db)
	} else {
		f.log.Warn("no database is configured (state, stats): instances don't know of each other's relay grants, nor of what was relayed")
		f.store = shared.NewMemory()
	}
	if err := f.openLedger(); err != nil {
		return err
	}
	if err := f.stats.open(f.cfg, f.ledger, f.ops.Registry); err != nil {
		return err
	}
	f.stats.messages = f.stats.demoMessages(true)
	return nil
}

// shared is the database that instances share; nil if there is none.
func (f *Functions) shared() *sqldb.DB {
	if f.database == nil && f.stats.db != nil && !strings.HasPrefix(f.cfg.Stats, "sqlite:") {
		return f.stats.db
	}
	return f.database
}

func (f *Functions) closeState(ctx context.Context) error {
	var errs []error
	if f.stats != nil {
		errs = append(errs, f.stats.close(ctx))
	}
	if f.database != nil {
		errs = append(errs, f.database.Close())
	}
	if f.own != nil {
		errs = append(errs, f.own.Close())
	}
	return errors.Join(errs...)
}
