package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings the tables of one user of the database up to date. all has a folder for each
// dialect, of goose's SQL files; user names the table of versions.
func (db *DB) Migrate(ctx context.Context, all fs.FS, user string) error {
	files, err := fs.Sub(all, db.Dialect.Name)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", user, err)
	}
	options := []goose.ProviderOption{goose.WithTableName(user + "_schema"), goose.WithDisableGlobalRegistry(true)}
	if l := db.Dialect.lock; l.take != "" {
		options = append(options, goose.WithSessionLocker(locker{db.Rebind(l.take), db.Rebind(l.release), user}))
	}
	p, err := goose.NewProvider(db.Dialect.versions, db.DB, files, options...)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", user, err)
	}
	// Who may not change the schema can still run where nothing is to be changed. A table of versions
	// that is not there is something to change.
	if pending, err := p.HasPending(ctx); err == nil && !pending {
		return nil
	}
	_, err = p.Up(ctx)
	// A file has no such lock: another process may have been faster, and done some of it or all.
	for i := 0; err != nil && db.Dialect.lock.take == "" && i < faster; i++ {
		if pending, failed := p.HasPending(ctx); failed == nil && !pending {
			return nil
		}
		_, err = p.Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", user, err)
	}
	return nil
}

// faster is how often another process may be.
const faster = 5

// locker is a goose.SessionLocker by statements that block until the lock is had.
type locker struct{ take, release, name string }

var _ lock.SessionLocker = locker{}

// SessionLock implements lock.SessionLocker.
func (l locker) SessionLock(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, l.take, "causeway_"+l.name)
	return err
}

// SessionUnlock implements lock.SessionLocker.
func (l locker) SessionUnlock(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, l.release, "causeway_"+l.name)
	return err
}
