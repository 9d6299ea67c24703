// Package bench measures the realtime service as a process of its own, and
// yardsticks beside it in the same run, so that every figure has something from
// the same machine and minute to be compared with.
//
//	Run ─▶ subject: a child process     causeway realtime, yardstick, PeerJS
//	     ─▶ load.Loop: its connections, driven from this process over loopback
//	     ─▶ /proc/PID: what the operating system says it used
//	     ─▶ Report ─▶ Bars: ratios and limits, held or not
//
// What is compared is measured in turns, a few seconds each, and the median of
// the turns counts; so both sides see the same noise. Processes, /proc and bars are
// package measure's; the relay has a benchmark of its own in package relay.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"causeway/internal/bench/yardstick"
)

// Config says what Run measures. Zero values mean the defaults.
type Config struct {
	// Server is the command line that starts the realtime service with the echo hub.
	// It prints a connection string as its first line. Not used with ConnectionString.
	Server []string
	// Yardstick is the command line that starts a yardstick, but for its kind, which
	// is appended. It prints its address as its first line.
	Yardstick []string
	// ConnectionString and PID are of a service that runs already, on this machine,
	// with the echo hub.
	ConnectionString string
	PID              int
	// Connections for idle memory and connect cost; others use fewer. 15 000.
	Connections int
	// Sizes of payloads in bytes; 256, 1536 and 2048. The bars need the latter two.
	Sizes []int
	// Scenarios to measure; empty means all.
	Scenarios []Scenario
	// Duration of each measurement; 3 s.
	Duration time.Duration
	// Quick makes everything small: a test of the benchmark, not of the hub.
	Quick bool
	// PeerJS says whether to compare with a PeerJS server, which npm installs into
	// CacheDir if it is not there. CacheDir defaults to the user's.
	PeerJS   bool
	CacheDir string
	// Progress gets a line for each step.
	Progress io.Writer
}

// Scenario is something that can be measured.
type Scenario string

// The scenarios.
const (
	Idle      Scenario = "idle"      // connecting, and memory after it
	Echo      Scenario = "echo"      // to the sender
	Send      Scenario = "send"      // to a connection, 10 000 a second
	Saturated Scenario = "saturated" // to a connection, as many as go
	Group     Scenario = "group"     // to ten connections
	Broadcast Scenario = "broadcast" // to all
	REST      Scenario = "rest"      // to a connection, over the data plane
	Unit      Scenario = "unit"      // ten units of Azure: 10 000 connections that echo
)

// Scenarios are all of them, in the order in which they run.
func Scenarios() []Scenario {
	return []Scenario{Idle, Echo, Send, Saturated, Group, REST, Unit, Broadcast}
}

// PeerSize is the payload of what is compared with PeerJS, BigSize that of one
// message as Azure counts.
const (
	PeerSize = 1536
	BigSize  = 2048
)

// settle is how long after the last connect memory is read.
const settle = 20 * time.Second

// scale is the numbers that Quick makes small.
type scale struct {
	idle, many, some int     // connections: idle; echo and broadcast; others
	rate             float64 // messages per second
	groupRate        float64 // to groups
	restRate         float64 // over the data plane
	rounds           int
	warmup, duration time.Duration
	settle           time.Duration
}

func (c *Config) scale() scale {
	s := scale{idle: 15_000, many: 10_000, some: 1000, rate: 10_000, groupRate: 1000, restRate: 1000,
		rounds: 3, warmup: time.Second, duration: 3 * time.Second, settle: settle}
	if c.Quick {
		s = scale{idle: 200, many: 100, some: 100, rate: 500, groupRate: 100, restRate: 100,
			rounds: 1, warmup: 50 * time.Millisecond, duration: 250 * time.Millisecond, settle: 300 * time.Millisecond}
	}
	if c.Connections > 0 {
		s.idle = c.Connections
		s.many, s.some = min(s.many, s.idle), min(s.some, s.idle)
	}
	if c.Duration > 0 {
		s.duration = c.Duration
	}
	return s
}

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.Connections < 0 || c.Duration < 0 || c.Duration > time.Minute {
		return errors.New("connections must not be negative, nor the duration or more than a minute")
	}
	for _, n := range c.Sizes {
		if n < 32 || n > 32<<10 {
			return errors.New("sizes must be between 32 and 32768 bytes")
		}
	}
	for _, s := range c.Scenarios {
		if !slices.Contains(Scenarios(), s) {
			return fmt.Errorf("there is no scenario %q", s)
		}
	}
	if c.ConnectionString != "" && c.PID <= 0 {
		return errors.New("a service that runs already is measured by its process id")
	}
	return nil
}

// Yardstick serves a yardstick until ctx ends. It is what Config.Yardstick runs,
// in a process of its own.
func Yardstick(ctx context.Context, kind string, w io.Writer) error {
	return yardstick.Run(ctx, yardstick.Kind(kind), w)
}
