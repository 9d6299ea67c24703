package sqldb

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
)

// Schema is the tables of one user of a database. They are made, or changed, when they are first
// needed, so that a database that is away at the start is no harm. It is safe for concurrent use.
type Schema struct {
	db    *DB
	files func() (fs.FS, error)
	user  string

	mu   sync.Mutex
	done bool
}

// NewSchema takes what Migrate does; it touches nothing.
func NewSchema(db *DB, files func() (fs.FS, error), user string) *Schema {
	return &Schema{db: db, files: files, user: user}
}

// Ready migrates, unless it has succeeded before.
func (s *Schema) Ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil
	}
	files, err := s.files()
	if err != nil {
		return fmt.Errorf("migrate %s: %w", s.user, err)
	}
	if err := s.db.Migrate(ctx, files, s.user); err != nil {
		return err
	}
	s.done = true
	return nil
}
