package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay/control"
)

// fleet is the relay nodes elsewhere, as the control plane has them.
type fleet struct {
	desk    *control.Desk
	nodes   map[string]*control.Remote
	issuers []ice.Named // in the order of the configuration
	changes chan leave
}

// leave is a relay whose pairs have to move.
type leave struct {
	where string
	gone  bool // and not only about to go
}

// fleetConfig is what nodes have in common.
type fleetConfig struct {
	key        []byte // the signing key
	policy     string
	grace      time.Duration
	registerer prometheus.Registerer
	log        *slog.Logger
}

const (
	maxLeaves = 256 // that wait; a pair that is missed asks itself when its path fails
	leavers   = 4   // relays whose pairs are moved at once
)

func newFleet(list []config.RelayNode, c fleetConfig, r *relays) (*fleet, error) {
	f := &fleet{nodes: map[string]*control.Remote{}, changes: make(chan leave, maxLeaves)}
	calls := control.NewCalls()
	var keys []control.Key
	for _, n := range list {
		key, err := control.NewKey(c.key, n.Name)
		if err != nil {
			return nil, fmt.Errorf("relay_node: %w", err)
		}
		client, err := control.NewClient(n.URL, key, nil)
		if err != nil {
			return nil, fmt.Errorf("relay_node: %w", err)
		}
		keys = append(keys, key)
		f.nodes[n.Name] = control.NewRemote(client, calls, c.log)
		issuer, err := f.issuer(n, c.policy, r)
		if err != nil {
			return nil, err
		}
		f.issuers = append(f.issuers, ice.Named{Name: n.Name, Issuer: issuer, Region: n.Region})
	}
	var err error
	f.desk, err = control.NewDesk(control.DeskConfig{
		Keys: keys, Ledger: leases{r.ledger}, Owns: r.owns, Grace: c.grace, Changed: f.changed, Logger: c.log, Registerer: c.registerer,
	})
	if err == nil && c.registerer != nil {
		err = c.registerer.Register(calls)
	}
	return f, err
}

// issuer mints at a node.
func (f *fleet) issuer(n config.RelayNode, policy string, r *relays) (ice.Issuer, error) {
	return ice.NewNode(ice.NodeConfig{
		Relay: watched{f.nodes[n.Name], f}, Policy: policy,
		Ready: func() error {
			if _, state := f.desk.Status(n.Name); state != control.Up {
				return fmt.Errorf("node %s is %s: %w", n.Name, state, ice.ErrAway)
			}
			return nil
		},
		Open:  func(id string, req ice.Request) error { return r.account(id, n.Name, n.Name, req) },
		Close: r.ended,
	})
}

// watched is a node whose failures are known at once.
type watched struct {
	*control.Remote
	fleet *fleet
}

func (w watched) Put(ctx context.Context, id string, g control.Grant) (control.Placed, error) {
	p, err := w.Remote.Put(ctx, id, g)
	if control.Transport(err) && !errors.Is(err, context.DeadlineExceeded) {
		w.fleet.desk.Unreachable(w.Key().Name())
	}
	return p, err
}

// Delete has nothing to do at a node that is away: its grants end by themselves, if they are not gone with it.
func (w watched) Delete(ctx context.Context, id string) error {
	if _, state := w.fleet.desk.Status(w.Key().Name()); state == control.Away {
		return nil
	}
	return w.Remote.Delete(ctx, id)
}

// node returns a node by its name; nil if there is none, also of a nil fleet.
func (f *fleet) node(name string) *control.Remote {
	if f == nil {
		return nil
	}
	return f.nodes[name]
}

// changed has the pairs of a node that goes, or is gone, moved.
func (f *fleet) changed(name string, s control.State) {
	if s == control.Up {
		return
	}
	if s == control.Away {
		f.nodes[name].Forget()
	}
	select {
	case f.changes <- leave{name, s == control.Away}:
	default: // their ICE agents find out themselves
	}
}

// run keeps the link, and moves pairs by move, until ctx ends.
func (f *fleet) run(ctx context.Context, move func(context.Context, leave)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.desk.Run(ctx) })
	for _, n := range f.nodes {
		g.Go(func() error { return n.Run(ctx) })
	}
	for range leavers {
		g.Go(func() error {
			for {
				select {
				case l := <-f.changes:
					move(ctx, l)
				case <-ctx.Done():
					return nil
				}
			}
		})
	}
	return g.Wait()
}

// runRelays has g run our relay and what gives out its use, and that of others.
func (a *App) runRelays(ctx context.Context, g *errgroup.Group) {
	if a.relay != nil {
		g.Go(func() error { return a.relay.Run(ctx) })
	}
	if a.grants == nil {
		return
	}
	g.Go(func() error { return a.grants.Run(ctx) })
	g.Go(func() error { return a.relays.run(ctx, a.signaling.Budget) })
	g.Go(func() error { return a.ledger.Run(ctx) })
	g.Go(func() error { return a.stats.Run(ctx) })
	if f := a.relays.fleet; f != nil {
		g.Go(func() error { return f.run(ctx, a.mover().move) })
	}
}

// routes adds what nodes call to mux.
func (r *relays) routes(mux *http.ServeMux) {
	if r.fleet != nil {
		r.fleet.desk.Routes(mux)
	}
}

// close answers nodes that wait.
func (r *relays) close() {
	if r != nil && r.fleet != nil {
		r.fleet.desk.Close()
	}
}

// mover moves pairs from one relay to others, and tells their members.
type mover struct {
	grants *grant.Keeper
	tell   func(context.Context, grant.Moved)
	log    *slog.Logger
}

func (m mover) move(ctx context.Context, l leave) {
	from := l.where + ":"
	if n := m.grants.Move(ctx, l.gone, func(handle string) bool { return strings.HasPrefix(handle, from) }, m.tell); n > 0 {
		m.log.InfoContext(ctx, "pairs were given another relay", "from", l.where, "pairs", n)
	}
}

// drainRelay has the own relay make nothing new and its pairs move elsewhere, and waits until nothing is
// relayed any more, or for DrainTimeout.
func (a *App) drainRelay(ctx context.Context) {
	if a.relay == nil || a.relays == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.DrainTimeout)
	defer cancel()
	a.relays.leaving.Store(true)
	if a.relay.Allocations() == 0 {
		return
	}
	a.mover().move(ctx, leave{where: config.OwnRelay})
	if err := a.relay.Drain(ctx); err != nil {
		a.log.InfoContext(ctx, "allocations are cut", "allocations", a.relay.Allocations())
	}
}

func (a *App) mover() mover {
	return mover{a.grants, a.signaling.Moved, a.log.With("part", "relay")}
}
