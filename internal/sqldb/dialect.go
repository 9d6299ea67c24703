package sqldb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// Dialect is how a database differs from the others.
type Dialect struct {
	// Name is sqlite, postgres or sqlserver; the folder of its migrations.
	Name string

	versions    goose.Dialect
	placeholder string // before the number of a parameter; empty: ? without a number
	upsert      func(Upsert, Dialect) string
	transient   func(error) bool
	lock        locker // nil: none
}

// SQLite is the dialect of modernc.org/sqlite.
func SQLite() Dialect {
	return Dialect{Name: "sqlite", versions: goose.DialectSQLite3, upsert: onConflict, transient: func(err error) bool {
		var e *sqlite.Error // SQLITE_BUSY, SQLITE_LOCKED and their extended codes
		return errors.As(err, &e) && (e.Code()&0xff == 5 || e.Code()&0xff == 6)
	}}
}

// Postgres is the dialect of PostgreSQL, from 12.
func Postgres() Dialect {
	return Dialect{Name: "postgres", versions: goose.DialectPostgres, placeholder: "$", upsert: onConflict, transient: func(err error) bool {
		var e *pgconn.PgError // serialization_failure, deadlock_detected
		return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
	}, lock: locker{take: "SELECT pg_advisory_lock(hashtext(?))", release: "SELECT pg_advisory_unlock(hashtext(?))"}}
}

// SQLServer is the dialect of Azure SQL and SQL Server.
func SQLServer() Dialect {
	return Dialect{Name: "sqlserver", versions: goose.DialectMSSQL, placeholder: "@p", upsert: updateThenInsert, transient: func(err error) bool {
		var e mssql.Error // deadlock victim, snapshot conflict
		return errors.As(err, &e) && (e.Number == 1205 || e.Number == 3960)
	}, lock: locker{
		take:    "EXEC sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = -1",
		release: "EXEC sp_releaseapplock @Resource = ?, @LockOwner = 'Session'",
	}}
}

// Dialects are all of them.
func Dialects() []Dialect { return []Dialect{SQLite(), Postgres(), SQLServer()} }

// Transient says whether a transaction failed because of another one, so that it may be tried again.
func (d Dialect) Transient(err error) bool { return d.transient(err) }

// Rebind replaces each ? of a query by the parameter as the database writes it.
func (d Dialect) Rebind(query string) string {
	if d.placeholder == "" {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(d.placeholder + strconv.Itoa(n))
		query = after
	}
}

// Upsert inserts a row, or changes the one with the same keys. Its parameters are the keys, then
// the values, in their order.
type Upsert struct {
	Table  string
	Keys   []string // the table's primary key
	Values []Change
}

// Change is what becomes of a column whose row is there.
type Change struct {
	Column string
	How    How
}

// How a new value and the one that is there become one.
type How uint8

// The ways.
const (
	Replace How = iota
	Add
	Max
)

// set returns the assignment of a column; old and fresh are the two values.
func (c Change) set(old, fresh string) string {
	switch c.How {
	case Add:
		fresh = old + " + " + fresh
	case Max:
		fresh = fmt.Sprintf("CASE WHEN %s > %s THEN %s ELSE %s END", old, fresh, old, fresh)
	case Replace:
	}
	return c.Column + " = " + fresh
}

// Upsert returns the statement of u, its parameters as the database writes them.
func (d Dialect) Upsert(u Upsert) string { return d.upsert(u, d) }

func (u Upsert) columns() []string {
	all := append([]string(nil), u.Keys...)
	for _, v := range u.Values {
		all = append(all, v.Column)
	}
	return all
}

func (u Upsert) parameters(d Dialect) []string {
	all := make([]string, len(u.Keys)+len(u.Values))
	for i := range all {
		all[i] = d.parameter(i + 1)
	}
	return all
}

func (d Dialect) parameter(n int) string {
	if d.placeholder == "" {
		return "?"
	}
	return d.placeholder + strconv.Itoa(n)
}

// onConflict is the statement of SQLite and PostgreSQL.
func onConflict(u Upsert, d Dialect) string {
	var sets []string
	for _, v := range u.Values {
		sets = append(sets, v.set(u.Table+"."+v.Column, "excluded."+v.Column))
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s",
		u.Table, strings.Join(u.columns(), ", "), strings.Join(u.parameters(d), ", "), strings.Join(u.Keys, ", "), strings.Join(sets, ", "))
}

// updateThenInsert is T-SQL's. The hints keep the key's range until the transaction ends, so that
// nobody else inserts between the two; MERGE needs the same and has more to go wrong.
func updateThenInsert(u Upsert, d Dialect) string {
	const hints = "WITH (UPDLOCK, SERIALIZABLE)"
	p := u.parameters(d)
	var sets, where []string
	for i, v := range u.Values {
		sets = append(sets, v.set(v.Column, p[len(u.Keys)+i]))
	}
	for i, k := range u.Keys {
		where = append(where, k+" = "+p[i])
	}
	key := strings.Join(where, " AND ")
	return fmt.Sprintf("UPDATE %[1]s %[2]s SET %[3]s WHERE %[4]s; INSERT INTO %[1]s (%[5]s) SELECT %[6]s WHERE NOT EXISTS (SELECT 1 FROM %[1]s %[2]s WHERE %[4]s)",
		u.Table, hints, strings.Join(sets, ", "), key, strings.Join(u.columns(), ", "), strings.Join(p, ", "))
}
