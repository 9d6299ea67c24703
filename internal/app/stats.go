package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"

	"causeway/internal/config"
	"causeway/internal/httpx"
	"causeway/internal/sqldb"
	"causeway/internal/stats"
)

// statistics is what counts, and where that is kept.
type statistics struct {
	*stats.Recorder
	db  *sqldb.DB // nil: nowhere
	log *slog.Logger
}

// openStats opens the statistics; the ledger is open.
func (a *App) openStats(ctx context.Context) error {
	logger := a.log.With("part", "stats")
	s := &statistics{log: logger}
	var store *stats.Store
	if a.cfg.Stats != config.StatsOff {
		db, err := sqldb.Open(ctx, sqldb.Config{URL: a.cfg.Stats, File: filepath.Join(a.cfg.DataDir, config.StatsFile), Resolver: resolver(a.cfg)})
		if err != nil {
			return fmt.Errorf("stats: %w", err)
		}
		s.db = db
		store = stats.NewStore(db)
	}
	a.stats = s
	var err error
	s.Recorder, err = stats.New(stats.Config{
		Store: store, RelayBytes: a.ledger.Delivered, Retention: a.cfg.StatsRetention, Logger: logger, Registerer: a.ops.Registry,
	})
	return err
}

// statsRoutes adds what pages report, and what everybody may see, to mux.
func (a *App) statsRoutes(mux *http.ServeMux) error {
	reports, err := stats.NewReports(stats.ReportsConfig{Recorder: a.stats.Recorder, Holder: func(r *http.Request) (stats.Holder, error) {
		g, err := a.signaling.Holder(r)
		return stats.Holder{ID: g.Session + "." + g.Peer, Expires: g.Expires}, err
	}})
	if err != nil {
		return err
	}
	logger := a.log.With("part", "stats")
	mux.Handle("POST /api/report", httpx.Handler(logger, reports.Handle))
	publish := func(http.ResponseWriter, *http.Request) error {
		return &httpx.Error{Status: http.StatusNotFound, Code: "stats_off", Message: "This server keeps no statistics."}
	}
	if a.stats.db != nil {
		publish = stats.NewPublisher(stats.NewStore(a.stats.db)).Handle
	}
	mux.Handle("GET /api/stats", httpx.Handler(logger, publish))
	return nil
}

// close stores what was counted last, by those who ended after Run, and closes the database.
func (s *statistics) close(ctx context.Context) error {
	if s.db == nil {
		return nil
	}
	if s.Recorder != nil {
		if err := s.Last(ctx); err != nil { // no reason to fail: a crash loses as much
			s.log.Warn("the last statistics are not stored", "err", err)
		}
	}
	return s.db.Close()
}
