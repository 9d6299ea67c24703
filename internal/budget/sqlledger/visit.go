package sqlledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"causeway/internal/budget"
	"causeway/internal/sqldb"
)

// The statements, with ? for parameters.
const (
	lockTotal     = "UPDATE budget_total SET version = version + 1 WHERE id = 1"
	readTotal     = "SELECT body FROM budget_total WHERE id = 1"
	writeTotal    = "UPDATE budget_total SET body = ? WHERE id = 1"
	readSession   = "SELECT body FROM budget_sessions WHERE id = ?"
	deleteSession = "DELETE FROM budget_sessions WHERE id = ?"
	countSessions = "SELECT COUNT(*) FROM budget_sessions"
	readGrant     = "SELECT session_id FROM budget_grants WHERE id = ?"
	insertGrant   = "INSERT INTO budget_grants (id, session_id, provider, polled_at, handle, opened_at) VALUES (?, ?, ?, ?, ?, ?)"
	deleteGrant   = "DELETE FROM budget_grants WHERE id = ?"
	countGrants   = "SELECT COUNT(*) FROM budget_grants"
	polledGrant   = "UPDATE budget_grants SET polled_at = ? WHERE id = ?"
	listGrants    = "SELECT handle, session_id FROM budget_grants WHERE provider = ? ORDER BY polled_at"
	leftGrants    = "SELECT handle, session_id FROM budget_grants WHERE opened_at < ? ORDER BY opened_at"
	oldSessions   = "DELETE FROM budget_sessions WHERE idle_at > 0 AND idle_at < ?"
)

// writeSession adds or replaces a page.
func writeSession(d sqldb.Dialect) string {
	return d.Upsert(sqldb.Upsert{
		Table: "budget_sessions", Keys: []string{"id"},
		Values: []sqldb.Change{{Column: "idle_at", How: sqldb.Replace}, {Column: "body", How: sqldb.Replace}},
	})
}

// visit is one transaction that has the total row to itself.
type visit struct {
	ledger *Ledger
	ctx    context.Context
	tx     *sql.Tx

	session     string // key of the page's session; empty: there is none
	total       budget.Total
	page        budget.Page
	grants      map[string]bool // on the page as it was, by id
	totalBefore string
	pageBefore  string // empty: it was not there
	events      []budget.Event
	delivered   int64
}

func (v *visit) exec(query string, args ...any) (sql.Result, error) {
	return v.tx.ExecContext(v.ctx, v.ledger.db.Rebind(query), args...)
}

// text reads one text or number; it is empty if there is no row.
func (v *visit) text(query string, args ...any) (s string, found bool, err error) {
	err = v.tx.QueryRowContext(v.ctx, v.ledger.db.Rebind(query), args...).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return s, err == nil, err
}

// load takes the lock, and reads the total and the page whose key page returns.
func (v *visit) load(page func(*visit) (string, error)) error {
	r, err := v.exec(lockTotal)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("the row of the total: %w", budget.ErrCorrupt), err)
	}
	if v.totalBefore, _, err = v.text(readTotal); err != nil {
		return err
	}
	if err := decode(v.totalBefore, &v.total); err != nil {
		return err
	}
	if v.session, err = page(v); err != nil || v.session == "" {
		return err
	}
	if v.pageBefore, _, err = v.text(readSession, v.session); err != nil {
		return err
	}
	if err := decode(v.pageBefore, &v.page); err != nil {
		return err
	}
	v.grants = make(map[string]bool, len(v.page.Grants))
	for _, g := range v.page.Grants {
		v.grants[g.ID] = true
	}
	return nil
}

func decode(text string, to any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), to); err != nil {
		return fmt.Errorf("%w: %w", budget.ErrCorrupt, err)
	}
	return nil
}

// do has f do something with the accounts.
func (v *visit) do(f func(*budget.Ledger) error) error {
	events, err := v.ledger.books.Do(&v.total, &v.page, func(of *budget.Ledger) error {
		err := f(of)
		v.delivered += of.Delivered()
		return err
	})
	v.events = append(v.events, events...)
	return err
}

// place is where a grant is.
type place struct {
	session string // key
	found   bool
}

func (v *visit) grantOf(grantID string) (p place, err error) {
	p.session, p.found, err = v.text(readGrant, key(grantID))
	return p, err
}

// room says whether there is a place for another grant, and for the page's session if it is new.
func (v *visit) room(session string) error {
	var grants, sessions int
	if err := v.tx.QueryRowContext(v.ctx, countGrants).Scan(&grants); err != nil {
		return err
	}
	if err := v.tx.QueryRowContext(v.ctx, countSessions).Scan(&sessions); err != nil {
		return err
	}
	if l := v.ledger.cfg.Limits; grants >= l.Grants || v.pageBefore == "" && sessions >= l.Sessions {
		return budget.ErrFull
	}
	return nil
}

// store writes what has changed.
func (v *visit) store() error {
	total, err := encode(v.total)
	if err != nil {
		return err
	}
	if total != v.totalBefore {
		if _, err := v.exec(writeTotal, total); err != nil {
			return err
		}
	}
	if v.session == "" {
		return nil
	}
	if err := v.storePage(); err != nil {
		return err
	}
	now := time.Now().Unix()
	for _, g := range v.page.Grants {
		if v.grants[g.ID] {
			delete(v.grants, g.ID)
			continue
		}
		if _, err := v.exec(insertGrant, key(g.ID), v.session, g.Provider, now, g.ID, now); err != nil {
			return err
		}
	}
	for id := range v.grants { // they are on the page no more
		if _, err := v.exec(deleteGrant, key(id)); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) storePage() error {
	if v.page.ID == "" {
		if v.pageBefore == "" {
			return nil
		}
		_, err := v.exec(deleteSession, v.session)
		return err
	}
	body, err := encode(v.page)
	if err != nil || body == v.pageBefore {
		return err
	}
	var idle int64
	if len(v.page.Grants) == 0 {
		idle = v.page.Idle.Unix()
	}
	_, err = v.tx.ExecContext(v.ctx, writeSession(v.ledger.db.Dialect), v.session, idle, body)
	return err
}
