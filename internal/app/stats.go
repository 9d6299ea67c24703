package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/config"
	"causeway/internal/httpx"
	"causeway/internal/signaling"
	"causeway/internal/sqldb"
	"causeway/internal/stats"
	"causeway/internal/token"
)

// statistics is what counts, and where that is kept.
type statistics struct {
	*stats.Recorder
	db       *sqldb.DB     // nil: nowhere
	messages *messageCount // of the example chat; nil: nobody asks
	log      *slog.Logger
}

// openStats opens the statistics; the ledger is open.
func (a *App) openStats(ctx context.Context) (err error) {
	var db *sqldb.DB
	if a.cfg.Stats != config.StatsOff {
		db, err = sqldb.Open(ctx, sqldb.Config{URL: a.cfg.Stats, File: filepath.Join(a.cfg.DataDir, config.StatsFile), Resolver: resolver(a.cfg)})
		if err != nil {
			return fmt.Errorf("stats: %w", err)
		}
	}
	a.stats = &statistics{db: db, log: a.log.With("part", "stats")}
	return a.stats.open(a.cfg, a.ledger, a.ops.Registry)
}

// open makes the recorder.
func (s *statistics) open(cfg config.Config, ledger interface{ Delivered() int64 }, reg prometheus.Registerer) (err error) {
	var store *stats.Store
	if s.db != nil {
		store = stats.NewStore(s.db)
	}
	s.Recorder, err = stats.New(stats.Config{
		Store: store, RelayBytes: ledger.Delivered, Retention: cfg.StatsRetention, Logger: s.log, Registerer: reg,
	})
	return err
}

// routes adds what pages report, and what everybody may see, to mux.
func (s *statistics) routes(mux *http.ServeMux, holder func(*http.Request) (token.Grant, error)) error {
	reports, err := stats.NewReports(stats.ReportsConfig{Recorder: s.Recorder, Holder: func(r *http.Request) (stats.Holder, error) {
		g, err := holder(r)
		return stats.Holder{ID: g.Session + "." + g.Peer, Expires: g.Expires}, err
	}})
	if err != nil {
		return err
	}
	mux.Handle("POST /api/report", httpx.Handler(s.log, signaling.Counted(s.Recorder, reports.Handle, func() {})))
	publish := func(http.ResponseWriter, *http.Request) error {
		return &httpx.Error{Status: http.StatusNotFound, Code: "stats_off", Message: "This server keeps no statistics."}
	}
	if s.db != nil {
		publish = stats.NewPublisher(stats.NewStore(s.db)).Handle
	}
	mux.Handle("GET /api/stats", httpx.Handler(s.log, publish))
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
