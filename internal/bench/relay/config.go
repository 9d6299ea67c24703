package relay

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

// Config says what Run measures. Zero values mean the defaults.
type Config struct {
	// Server returns the command line that starts our server on an address, and what
	// its environment needs besides. It takes credentials that are made from Secret,
	// and peers on loopback.
	Server func(netip.AddrPort) (argv, env []string)
	Secret string
	// Forwarder is the command line that runs Forward, but for the address to listen
	// on, which is appended.
	Forwarder []string
	// Address, PID and Login are of a server that runs already on this machine, and is
	// measured in the place of ours, on loopback.
	Address netip.AddrPort
	PID     int
	Login   Login
	// Coturn says whether to compare with coturn.
	Coturn bool
	// Scenarios and Paths to measure; empty means all.
	Scenarios []Scenario
	Paths     []Path
	// Rounds of each measurement; 3.
	Rounds int
	// Duration of each measurement; 3 s.
	Duration time.Duration
	// Allocations to set up; 5 000.
	Allocations int
	// Size of payloads; 1200 bytes, which the bars are for.
	Size int
	// Quick makes everything small: a test of the benchmark, not of the server.
	Quick bool
	// Progress gets a line for each step.
	Progress io.Writer
}

// Login is how clients prove themselves: a user and password, or a secret that both
// are made from (TURN REST), for each client others.
type Login struct{ User, Password, Secret string }

// scale is the numbers that Quick makes small.
type scale struct {
	bulk, paced, many int     // allocations
	bulkRate          float64 // packets per second
	pacedRate         float64
	manyRate          float64
	settle            time.Duration // until memory is read
}

func (c *Config) withDefaults() (Config, scale) {
	d := *c
	s := scale{bulk: 4, paced: 200, many: 1000, bulkRate: 100_000, pacedRate: 20_000, manyRate: 50_000, settle: 20 * time.Second}
	if d.Quick {
		s = scale{bulk: 4, paced: 10, many: 20, bulkRate: 5000, pacedRate: 1000, manyRate: 1000, settle: 200 * time.Millisecond}
		d.Rounds, d.Duration, d.Allocations = 1, 200*time.Millisecond, 50
	}
	if d.Progress == nil {
		d.Progress = io.Discard
	}
	if len(d.Scenarios) == 0 {
		d.Scenarios = Scenarios()
	}
	if len(d.Paths) == 0 {
		d.Paths = Paths()
	}
	for _, n := range []struct {
		value *int
		def   int
	}{{&d.Rounds, 3}, {&d.Allocations, fullSetup}, {&d.Size, 1200}} {
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	if d.Duration == 0 {
		d.Duration = 3 * time.Second
	}
	return d, s
}

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	for _, s := range c.Scenarios {
		if !slices.Contains(Scenarios(), s) {
			return fmt.Errorf("there is no scenario %q", s)
		}
	}
	for _, p := range c.Paths {
		if !slices.Contains(Paths(), p) {
			return fmt.Errorf("there is no path %q", p)
		}
	}
	switch {
	case c.Rounds < 0 || c.Rounds > 100 || c.Duration < 0 || c.Duration > time.Minute:
		return errors.New("rounds must be 1 to 100 and the duration at most a minute")
	case c.Allocations < 0 || c.Allocations > 15_000:
		return errors.New("allocations must be 1 to 15 000")
	case c.Size != 0 && (c.Size < payloadLeast || c.Size > 8000):
		return fmt.Errorf("payloads must have %d to 8000 bytes", payloadLeast)
	case c.Address.IsValid() && (c.PID <= 0 || !c.Address.Addr().Is4() || !c.Address.Addr().IsLoopback()):
		return errors.New("a server that runs already is measured on an IPv4 address of loopback, by its process id")
	case c.Address.IsValid() && (c.Login.User == "") == (c.Login.Secret == ""):
		return errors.New("a server that runs already needs either a user and password, or a secret")
	}
	return nil
}

// payloadLeast is room for the marks that the driver puts on packets.
const payloadLeast = 16
