package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"causeway/internal/bench/functions"
	"causeway/internal/ops"
)

// benchFunctions measures the custom handler, see package bench/functions.
type benchFunctions struct {
	Starts   int           `default:"7" help:"How often to start the handler."`
	Rate     int           `default:"500" help:"Negotiations a second, through the double of the Functions host."`
	Duration time.Duration `default:"20s" help:"How long to ask."`
}

func (b *benchFunctions) Run(ctx context.Context, s streams) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := functions.Config{
		Executable: self, Dir: filepath.Join(dir, "data"), Starts: b.Starts, Rate: b.Rate, Duration: b.Duration,
		Progress: func(text string) { fmt.Fprintln(s.err, text) },
	}
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	r, err := functions.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("bench functions: %w", err)
	}
	r.Version = ops.Version()
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
