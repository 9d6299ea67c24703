// Package sqlledger is package budget's Ledger for many processes, which live for a request or
// for months and share a database: SQLite for tests and one machine, PostgreSQL, Azure SQL.
//
// The arithmetic is package budget's own (budget.Bookkeeper), so its promises hold here as they
// do there: for each account cap − left == delivered + leased, delivered never exceeds a cap, and
// what a process that died had leased counts as spent when its grant is closed. What this package adds is
// that two visits never cross:
//
//	budget_total     one row: the accounts of day and month. Each visit begins with an UPDATE of
//	                 it, and so has it to itself until it commits
//	budget_sessions  the page of a session: its account, its members', its grants'
//	budget_grants    which page a grant is on, since when, and whom to ask what it used
//
// One row that all wait for is a bound of some thousand visits a second. A visit is for a credential
// that is given out, a lease of megabytes, or the usage of a session in a minute, so it is far away.
//
// Keys are hashes of the names of sessions and grants, which may be of any length.
//
// # Events
//
// An event is told to one process: that whose visit spent the account. If it dies, the
// next Tick says again that an account is spent, as long as it has open grants.
//
// # What is left
//
// A grant is closed by whoever takes its credential back. If that process dies first, nobody does:
// then Tick closes the grant when its credential can't be good any more, so that it is counted for as long as
// something can be relayed by it, and takes no place for ever.
//
// # Bounds and policies
//
//	grants, sessions       budget.Limits; Open fails with budget.ErrFull
//	grants at a tick       5000 of a provider, those asked about longest ago first; 1000 of those that are left, the
//	                       oldest first
//	events                 1024; the newest are dropped, and said again by the next Tick
package sqlledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"causeway/internal/budget"
	"causeway/internal/sqldb"
)

//go:embed migrations
var embedded embed.FS

const (
	maxEvents = 1024

	maxGrants   = 65536 // the defaults of budget.Limits
	maxSessions = 65536
)

// Ledger is the accounts, in a database. It is safe for concurrent use.
type Ledger struct {
	db     *sqldb.DB
	schema *sqldb.Schema
	books  *budget.Bookkeeper
	cfg    budget.Config
	life   time.Duration
	events chan budget.Event

	delivered atomic.Int64 // by visits of this process
}

// New returns a Ledger; it touches the database when it is first used. Of cfg, Dir, Poll and Registerer are
// not looked at. A credential is good for life at most.
func New(db *sqldb.DB, cfg budget.Config, life time.Duration) (*Ledger, error) {
	if life <= 0 {
		return nil, errors.New("budget: the life of a credential is to be positive")
	}
	books, err := budget.NewBookkeeper(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Limits.Grants == 0 {
		cfg.Limits.Grants = maxGrants
	}
	if cfg.Limits.Sessions == 0 {
		cfg.Limits.Sessions = maxSessions
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Ledger{db: db, schema: sqldb.NewSchema(db, Migrations, "budget"), books: books, cfg: cfg, life: life, events: make(chan budget.Event, maxEvents)}, nil
}

// Migrations are the tables, in a folder for each dialect.
func Migrations() (fs.FS, error) { return fs.Sub(embedded, "migrations") }

// Events returns what happens to accounts by visits of this process. It has one reader.
func (l *Ledger) Events() <-chan budget.Event { return l.events }

// Open is budget.Ledger.Open.
func (l *Ledger) Open(ctx context.Context, grantID string, c budget.Chain, declared int64) error {
	return l.visit(ctx, "open grant", c.Session, func(v *visit) error {
		if there, err := v.grantOf(grantID); err != nil {
			return err
		} else if !there.found { // a second Open needs no room
			if err := v.room(c.Session); err != nil {
				return err
			}
		} else if there.session != key(c.Session) {
			return errors.New("it is open with another chain")
		}
		return v.do(func(of *budget.Ledger) error { return of.Open(grantID, c, declared) })
	})
}

// Declare is budget.Ledger.Declare.
func (l *Ledger) Declare(ctx context.Context, grantID string, declared int64) error {
	return l.visitGrant(ctx, "declare", grantID, func(of *budget.Ledger) error { return of.Declare(grantID, declared) })
}

// Admits is budget.Ledger.Admits.
func (l *Ledger) Admits(ctx context.Context, c budget.Chain, declared int64) error {
	return l.visit(ctx, "admit", c.Session, func(v *visit) error {
		if err := v.room(c.Session); err != nil {
			return err
		}
		return v.do(func(of *budget.Ledger) error { return of.Admits(c, declared) })
	})
}

// Lease is budget.Ledger.Lease.
func (l *Ledger) Lease(ctx context.Context, grantID string, want int64) (granted int64, err error) {
	err = l.visitGrant(ctx, "lease", grantID, func(of *budget.Ledger) (err error) {
		granted, err = of.Lease(ctx, grantID, want)
		return err
	})
	if err != nil {
		return 0, err
	}
	return granted, nil
}

// Settle is budget.Ledger.Settle.
func (l *Ledger) Settle(ctx context.Context, grantID string, delivered, charged, returned int64) error {
	return l.visitGrant(ctx, "settle", grantID, func(of *budget.Ledger) error {
		return of.Settle(ctx, grantID, delivered, charged, returned)
	})
}

// CloseGrant is budget.Ledger.CloseGrant. An unknown grant is no error.
func (l *Ledger) CloseGrant(ctx context.Context, grantID string) error {
	err := l.visitGrant(ctx, "close grant", grantID, func(of *budget.Ledger) error {
		of.CloseGrant(grantID)
		return nil
	})
	if errors.Is(err, budget.ErrUnknown) {
		return nil
	}
	return err
}

// Status returns the accounts of this day and this month.
func (l *Ledger) Status(ctx context.Context) (day, month budget.Status, err error) {
	err = l.visit(ctx, "look at the budget", "", func(v *visit) error {
		return v.do(func(of *budget.Ledger) error {
			day, month = of.Status()
			return nil
		})
	})
	return day, month, err
}

// Session returns the account of a session; false if it has none.
func (l *Ledger) Session(ctx context.Context, id string) (s budget.Status, ok bool, err error) {
	err = l.visit(ctx, "look at a session's budget", id, func(v *visit) error {
		return v.do(func(of *budget.Ledger) error {
			s, ok = of.Session(id)
			return nil
		})
	})
	return s, ok, err
}

// Delivered is how many bytes were delivered, or counted as such, by visits of this process since New.
func (l *Ledger) Delivered() int64 { return l.delivered.Load() }

// Take is budget.Ledger.Take.
func (l *Ledger) Take(ctx context.Context, want int64) (granted int64, err error) {
	err = l.visit(ctx, "take money", "", func(v *visit) error {
		return v.do(func(of *budget.Ledger) (err error) {
			granted, err = of.Take(ctx, want)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return granted, nil
}

func key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// send hands events to the reader.
func (l *Ledger) send(events []budget.Event) {
	for _, e := range events {
		select {
		case l.events <- e:
		default: // the next Tick says so again
		}
	}
}

// visitGrant visits the page that a grant is on.
func (l *Ledger) visitGrant(ctx context.Context, what, grantID string, f func(*budget.Ledger) error) error {
	return l.visitPage(ctx, what, func(v *visit) (string, error) {
		g, err := v.grantOf(grantID)
		if err == nil && !g.found {
			err = budget.ErrUnknown
		}
		return g.session, err
	}, func(v *visit) error { return v.do(f) })
}

// visit visits the page of a session; with an empty name, none.
func (l *Ledger) visit(ctx context.Context, what, session string, f func(*visit) error) error {
	return l.visitPage(ctx, what, func(*visit) (string, error) {
		if session == "" {
			return "", nil
		}
		return key(session), nil
	}, f)
}

// visitPage has f do something, with nobody else there. What f did is stored also if it fails; its
// error is returned.
func (l *Ledger) visitPage(ctx context.Context, what string, page func(*visit) (string, error), f func(*visit) error) error {
	if err := l.schema.Ready(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var v *visit
	var failed error
	err := l.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		v = &visit{ledger: l, ctx: ctx, tx: tx}
		failed = nil
		if err := v.load(page); errors.Is(err, budget.ErrUnknown) {
			failed = err
			return nil
		} else if err != nil {
			return err
		}
		failed = f(v)
		return v.store()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	l.delivered.Add(v.delivered)
	l.send(v.events)
	if failed != nil {
		return fmt.Errorf("%s: %w", what, failed)
	}
	return nil
}

// encode is JSON of what always can be.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
