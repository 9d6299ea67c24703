package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"causeway/internal/bench/relay"
	"causeway/internal/ops"
)

// benchRelay measures the relay, see package relay of the benchmarks.
type benchRelay struct {
	Server      string           `env:"-" placeholder:"IP:PORT" help:"A TURN server that runs on this machine already, on loopback, in the place of ours; needs --pid and credentials."`
	PID         int              `name:"pid" env:"-" placeholder:"N" help:"Process id of that server, whose CPU time and memory are read."`
	User        string           `env:"-" help:"User of that server, by long-term credentials."`
	Password    string           `env:"-" help:"Password of that user."`
	Secret      string           `env:"-" help:"Or the secret that credentials are made from (TURN REST), of a server for tests: it is seen in the process list."`
	Scenarios   []relay.Scenario `env:"-" help:"What to measure: setup, bulk, paced, many, hairpin. Default: all."`
	Paths       []relay.Path     `env:"-" help:"Over what: loopback, veth (needs root). Default: both."`
	Rounds      int              `default:"3" env:"-" help:"Of each measurement; the median counts."`
	Duration    time.Duration    `default:"3s" env:"-" help:"Of each measurement."`
	Allocations int              `default:"5000" env:"-" help:"How many to set up."`
	Coturn      bool             `default:"true" negatable:"" env:"-" help:"Compare with coturn, if turnserver is installed."`
	Quick       bool             `env:"-" help:"Small counts and short runs, to see that it works. The figures mean nothing."`
}

// benchSecret is the name of the environment variable with the started server's secret.
const benchSecret = "CAUSEWAY_BENCH_RELAY_SECRET"

func (b *benchRelay) Run(ctx context.Context, s streams) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // only what the server left there
	c := relay.Config{
		Secret: rand.Text(), Forwarder: []string{self, "bench", "forwarder"},
		PID: b.PID, Login: relay.Login{User: b.User, Password: b.Password, Secret: b.Secret}, Coturn: b.Coturn,
		Scenarios: b.Scenarios, Paths: b.Paths, Rounds: b.Rounds, Duration: b.Duration, Allocations: b.Allocations,
		Quick: b.Quick, Progress: s.err,
	}
	c.Server = func(addr netip.AddrPort) (argv, env []string) {
		return []string{self, "relay", "--turn-listen=" + addr.String(), "--auth-secret=env:" + benchSecret, "--realm=bench",
			"--allow-loopback-peers", "--data-dir=" + filepath.Join(dir, "data")}, []string{benchSecret + "=" + c.Secret}
	}
	if b.Server != "" {
		if c.Address, err = netip.ParseAddrPort(b.Server); err != nil {
			return usageError{fmt.Errorf("--server: %w", err)}
		}
	}
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	r, err := relay.Run(ctx, c)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("bench relay: %w", err)
	}
	r.Version = ops.Version()
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// benchForwarder serves what bench relay compares with. It ends on a signal.
type benchForwarder struct {
	Addr string `arg:"" help:"IP address to serve."`
}

func (b *benchForwarder) Run(ctx context.Context, s streams) error {
	addr, err := netip.ParseAddr(b.Addr)
	if err != nil {
		return usageError{err}
	}
	return relay.Forward(ctx, addr, s.out)
}
