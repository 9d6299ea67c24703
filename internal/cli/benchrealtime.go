package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"causeway/internal/bench"
	"causeway/internal/ops"
)

// benchRealtime measures the realtime service, see package bench.
type benchRealtime struct {
	ConnectionString string           `placeholder:"STRING" help:"Of a service with --echo that runs on this machine already; needs --pid. Without it one is started."`
	PID              int              `name:"pid" env:"-" placeholder:"N" help:"Process id of that service, whose CPU time and memory are read."`
	Connections      int              `default:"15000" env:"-" help:"Idle connections; never more than the descriptor limit less 1000."`
	Sizes            []int            `default:"256,1536,2048" env:"-" help:"Payloads in bytes. The bars are for 1536 and 2048."`
	Scenarios        []bench.Scenario `env:"-" help:"What to measure: idle, echo, send, saturated, group, rest, unit, broadcast. Default: all."`
	Duration         time.Duration    `default:"3s" env:"-" help:"Of each measurement."`
	Quick            bool             `env:"-" help:"Small counts and short runs, to see that it works. The figures mean nothing."`
	PeerJS           bool             `name:"peerjs" default:"true" negatable:"" env:"-" help:"Compare with PeerJS server, which npm installs into the cache directory."`
}

func (b *benchRealtime) Run(ctx context.Context, s streams) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // only what the server left there
	c := bench.Config{
		Server:           []string{self, "realtime", "--listen=127.0.0.1:0", "--echo", "--max-connections=1000000", "--data-dir=" + filepath.Join(dir, "data")},
		Yardstick:        []string{self, "bench", "yardstick"},
		ConnectionString: b.ConnectionString, PID: b.PID,
		Sizes: b.Sizes, Scenarios: b.Scenarios, Quick: b.Quick, PeerJS: b.PeerJS, Progress: s.err,
	}
	if !b.Quick {
		c.Connections, c.Duration = b.Connections, b.Duration
	}
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	r, err := bench.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("bench realtime: %w", err)
	}
	r.Version = ops.Version()
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// benchYardstick serves what bench realtime compares with. It ends on a signal.
type benchYardstick struct {
	Kind string `arg:"" enum:"plain,upgrade" help:"Which yardstick."`
}

func (b *benchYardstick) Run(ctx context.Context, s streams) error {
	return bench.Yardstick(ctx, b.Kind, s.out)
}
