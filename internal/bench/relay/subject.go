//go:build linux

package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"causeway/internal/bench/measure"
)

// subject is a server and our clients.
type subject struct {
	name  Subject
	child *measure.Child // nil if it is not ours
	pid   int
	fleet *Fleet
}

// close ends the clients, and the server if it is ours.
func (s *subject) close() {
	if s.fleet != nil {
		s.fleet.close()
	}
	if s.child != nil {
		s.child.Stop()
	}
}

func (s *subject) cpu() (time.Duration, error) { return measure.CPU(s.pid) }

// begin starts a server, for n clients, and waits until it answers.
func (b *bench) begin(ctx context.Context, nw *network, name Subject, n int) (*subject, error) {
	s := &subject{name: name}
	addr, login, err := b.start(ctx, s, nw)
	if err == nil {
		s.fleet, err = newFleet(nw, addr, name == Forwarder, login, n)
	}
	if err == nil && name != Forwarder {
		err = s.fleet.probe(ctx)
		if s.child != nil && err != nil {
			select {
			case <-s.child.Ended():
				err = s.child.Err()
			default:
			}
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// start starts the process, if there is one to start.
func (b *bench) start(ctx context.Context, s *subject, nw *network) (addr netip.AddrPort, login Login, err error) {
	switch s.name {
	case Given:
		s.pid = b.cfg.PID
		return b.cfg.Address, b.cfg.Login, nil
	case Forwarder:
		argv := append(slices.Clone(b.cfg.Forwarder), nw.server.String())
		if s.child, err = measure.Start(ctx, nw.command(argv)); err != nil {
			return addr, login, err
		}
		s.pid = s.child.PID
		addr, err = netip.ParseAddrPort(s.child.Line)
		return addr, login, err
	}
	if addr, err = nw.freePort(); err != nil {
		return addr, login, err
	}
	var argv, env []string
	if s.name == Coturn {
		login = Login{User: "bench", Password: "bench"}
		argv = b.coturnCommand(addr)
	} else {
		login = Login{Secret: b.cfg.Secret}
		argv, env = b.cfg.Server(addr)
	}
	if s.child, err = measure.StartSilent(nw.command(argv), env...); err != nil {
		return addr, login, err
	}
	s.pid = s.child.PID
	return addr, login, nil
}

// coturnCommand starts coturn at its best: no logs, nothing that is not measured, as
// many threads as there are cores.
func (b *bench) coturnCommand(addr netip.AddrPort) []string {
	ip := addr.Addr().String()
	return []string{b.coturn, "-n", "--log-file=/dev/null", "--no-stdout-log",
		"--pidfile=" + filepath.Join(b.dir, "coturn.pid"), "--listening-ip=" + ip, "--relay-ip=" + ip,
		"--listening-port=" + strconv.Itoa(int(addr.Port())), "--lt-cred-mech", "--user=bench:bench", "--realm=bench",
		"--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "--relay-threads=" + strconv.Itoa(runtime.NumCPU())}
}

// findCoturn looks for coturn and its version.
func (b *bench) findCoturn() error {
	if !b.cfg.Coturn {
		return errors.New("switched off")
	}
	path, err := exec.LookPath("turnserver")
	if err != nil {
		return errors.New("turnserver is not installed (apt-get install coturn)")
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return fmt.Errorf("turnserver --version: %w", err)
	}
	lines := strings.Fields(string(out))
	if len(lines) > 0 {
		b.report.Coturn = lines[len(lines)-1]
	}
	b.coturn = path
	return nil
}

// ready makes the allocations of a subject, and binds their channels.
func (s *subject) ready(ctx context.Context, hairpin bool) error {
	if err := s.fleet.allocateAll(ctx, parallel); err != nil {
		return err
	}
	if hairpin {
		pairUp(s.fleet.clients)
	}
	return s.fleet.bindAll(ctx, s.fleet.clients, parallel)
}

// parallel is how many clients make their requests at the same time.
const parallel = 64
