package stats

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what New needs.
type Config struct {
	// Store keeps the counts; nil: they are in the metrics only.
	Store *Store
	// RelayBytes tells how many bytes were relayed since the start; nil: nothing is.
	RelayBytes func() int64
	// Interval between writes; 10 s by default. A crash loses at most what was counted in one.
	Interval time.Duration
	// Retention is how long counts are kept; 400 days by default.
	Retention  time.Duration
	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	defaultInterval  = 10 * time.Second
	defaultRetention = 400 * 24 * time.Hour
	maxHours         = 72               // of counts that wait for the database
	writePatience    = 30 * time.Second // with the database, for one write
	lastPatience     = 5 * time.Second  // with the last one, when the process ends
	sweepEvery       = time.Hour
)

// Recorder counts. It is safe for concurrent use, and its methods but Run and Flush never wait.
type Recorder struct {
	cfg   Config
	run   string
	index map[string]Counter
	now   []atomic.Int64 // by Counter; what was not collected yet
	total []atomic.Int64 // by Counter; since the start, for the metrics

	mu      sync.Mutex
	hour    time.Time             // that is being counted
	hours   map[time.Time]*counts // that are not wholly stored
	relayed int64                 // of RelayBytes, counted
	dropped atomic.Int64          // counts

	writing sync.Mutex // one write at a time
	failing bool       // guarded by writing
	metrics metrics
}

// counts are one hour's, by Counter, of this run.
type counts struct {
	n      []int64 // in all
	stored []int64 // of n
}

// New returns a Recorder; it starts nothing.
func New(cfg Config) (*Recorder, error) {
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Retention == 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.Interval < 0 || cfg.Retention < maxHours*time.Hour {
		return nil, fmt.Errorf("stats: interval %v, retention %v: want a positive interval, and to keep %d hours at least", cfg.Interval, cfg.Retention, maxHours)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	run := make([]byte, 12)
	if _, err := rand.Read(run); err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	names := Names()
	r := &Recorder{
		cfg: cfg, run: base64.RawURLEncoding.EncodeToString(run), index: index(),
		now: make([]atomic.Int64, len(names)), total: make([]atomic.Int64, len(names)),
		hour: hourOf(time.Now()), hours: map[time.Time]*counts{},
	}
	r.metrics = newMetrics(r)
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(r.metrics); err != nil {
			return nil, fmt.Errorf("stats: %w", err)
		}
	}
	return r, nil
}

func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// Add counts n more of c.
func (r *Recorder) Add(c Counter, n int64) {
	r.now[c].Add(n)
	r.total[c].Add(n)
}

// add counts one of a family's kind, and says whether there is such a kind.
func (r *Recorder) add(family, kind string, n int64) bool {
	c, ok := r.index[family+"."+kind]
	if ok {
		r.Add(c, n)
	}
	return ok
}

// SessionCreated counts a session.
func (r *Recorder) SessionCreated() { r.Add(Sessions, 1) }

// Joined counts an invite that was traded for a grant.
func (r *Recorder) Joined() { r.Add(Joins, 1) }

// Negotiated counts a connection to the hub.
func (r *Recorder) Negotiated() { r.Add(Negotiations, 1) }

// MessagePassed counts a message over the hub.
func (r *Recorder) MessagePassed() { r.Add(Messages, 1) }

// Refused counts a refusal; a reason that is not on the list counts as "other".
func (r *Recorder) Refused(reason string) {
	if !r.add(familyRefused, reason, 1) {
		r.add(familyRefused, otherReason, 1)
	}
}

// Last writes for the last time, when all who count have ended; it doesn't wait long.
func (r *Recorder) Last(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
	defer cancel()
	return r.Flush(ctx)
}

// Run writes until ctx ends; Last has to follow.
func (r *Recorder) Run(ctx context.Context) error {
	if r.cfg.Store == nil {
		<-ctx.Done()
		return nil
	}
	next := time.NewTimer(r.untilNext(time.Now()))
	defer next.Stop()
	var swept time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		r.flushAndLog(ctx)
		if now := time.Now(); now.Sub(swept) >= sweepEvery {
			swept = now
			if err := r.cfg.Store.Forget(ctx, now.Add(-r.cfg.Retention)); err != nil && ctx.Err() == nil {
				r.cfg.Logger.WarnContext(ctx, "old statistics were not deleted", "err", err)
			}
		}
		next.Reset(r.untilNext(time.Now()))
	}
}

// untilNext is an interval, or until the hour ends, so that what was counted is of that hour.
func (r *Recorder) untilNext(now time.Time) time.Duration {
	return min(r.cfg.Interval, hourOf(now).Add(time.Hour).Sub(now))
}

// flushAndLog logs when writes begin to fail, and when they succeed again.
func (r *Recorder) flushAndLog(ctx context.Context) {
	err := r.Flush(ctx)
	r.writing.Lock()
	defer r.writing.Unlock()
	if failing := err != nil; failing != r.failing {
		r.failing = failing
		if failing {
			r.cfg.Logger.WarnContext(ctx, "statistics can't be stored; they wait in memory", "err", err)
		} else {
			r.cfg.Logger.InfoContext(ctx, "statistics are stored again")
		}
	}
}

// Flush writes what was counted until now.
func (r *Recorder) Flush(ctx context.Context) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	rows := r.collect(time.Now())
	if len(rows) == 0 || r.cfg.Store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	err := r.cfg.Store.Write(ctx, r.run, rows)
	r.metrics.wrote(err)
	if err != nil {
		return fmt.Errorf("store statistics: %w", err)
	}
	r.stored(rows)
	return nil
}

// collect moves what was added into the hour that is being counted, begins the next hour if it is time,
// and returns the rows that the store does not have yet.
func (r *Recorder) collect(now time.Time) []Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.RelayBytes != nil {
		all := r.cfg.RelayBytes()
		r.Add(RelayBytes, all-r.relayed)
		r.relayed = all
	}
	for c := range r.now {
		n := r.now[c].Swap(0)
		if n == 0 {
			continue
		}
		h := r.hours[r.hour]
		if h == nil {
			h = &counts{make([]int64, len(r.now)), make([]int64, len(r.now))}
			r.hours[r.hour] = h
		}
		h.n[c] += n
	}
	r.hour = hourOf(now)
	r.dropOldest()
	var rows []Row
	for _, hour := range slices.SortedFunc(maps.Keys(r.hours), time.Time.Compare) {
		h := r.hours[hour]
		for c, n := range h.n {
			if n != h.stored[c] {
				rows = append(rows, Row{Hour: hour, Counter: Counter(c), N: n})
			}
		}
	}
	return rows
}

// dropOldest keeps within maxHours.
func (r *Recorder) dropOldest() {
	for len(r.hours) > maxHours {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(r.hours)), time.Time.Compare)
		for c, n := range r.hours[oldest].n {
			r.dropped.Add(n - r.hours[oldest].stored[c])
		}
		delete(r.hours, oldest)
	}
}

// stored notes that the store has rows, and forgets hours that are over.
func (r *Recorder) stored(rows []Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		if h := r.hours[row.Hour]; h != nil {
			h.stored[row.Counter] = row.N
		}
	}
	maps.DeleteFunc(r.hours, func(hour time.Time, h *counts) bool { return hour.Before(r.hour) && slices.Equal(h.n, h.stored) })
}
