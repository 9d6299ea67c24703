package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay"
	"causeway/internal/relay/control"
	"causeway/internal/relay/grants"
	"causeway/internal/relay/policy"
)

// relays is what package grant gives out: our own relay, nodes elsewhere, and bought ones when those are off
// or full, all of it counted in one ledger.
type relays struct {
	own     *relay.Server // nil: off
	fleet   *fleet        // nil: there are no nodes
	issuer  *ice.Chain    // nil: there is no relay at all
	region  string        // for those who name none
	ledger  *budget.Ledger
	log     *slog.Logger
	leaving atomic.Bool // our own relay drains

	mu      sync.Mutex
	live    map[string]string       // grants of our own relay and of nodes, by id → where
	bought  map[string]budget.Chain // by handle
	closing map[string]closing      // ids of ended grants
}

// closing is a grant that has ended.
type closing struct {
	at    time.Time // when its account is closed
	where string
}

// settleIn is how long a relay of ours may take to settle an ended grant.
const settleIn = 10 * time.Second

// relaysConfig is what newRelays needs: own may be nil, and bought and nodes empty.
type relaysConfig struct {
	own    *relay.Server
	urls   func() []string // of own
	bought []ice.Named
	nodes  config.Nodes
	fleet  fleetConfig // for nodes
	ledger *budget.Ledger
	log    *slog.Logger
}

func newRelays(c relaysConfig) (*relays, error) {
	r := &relays{own: c.own, ledger: c.ledger, log: c.log, region: c.nodes.DefaultRegion,
		live: map[string]string{}, bought: map[string]budget.Chain{}, closing: map[string]closing{}}
	var list []ice.Named
	if c.own != nil {
		issuer, err := ice.NewOwn(ice.OwnConfig{URLs: c.urls, Grant: r.put, Delete: r.end})
		if err != nil {
			return nil, err
		}
		list = append(list, ice.Named{Name: config.OwnRelay, Issuer: issuer, Region: c.nodes.RelayRegion})
	}
	var err error
	if len(c.nodes.RelayNode) > 0 {
		if r.fleet, err = newFleet(c.nodes.RelayNode, c.fleet, r); err != nil {
			return nil, err
		}
		list = append(list, r.fleet.issuers...)
	}
	for _, n := range c.bought {
		n.Admit = func(_ context.Context, req ice.Request) error {
			return r.refused(r.ledger.Admits(boughtChain(req, n.Name), req.Bytes))
		}
		list = append(list, n)
	}
	if len(list) == 0 {
		return r, nil
	}
	r.issuer, err = ice.NewChain(list, c.log)
	return r, err
}

// Mint implements grant.Relay.
func (r *relays) Mint(ctx context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	if r.issuer == nil {
		return made, grant.ErrNoRelay
	}
	requests := requestsFor(pair, r.region)
	minted, err := r.issuer.MintAll(ctx, requests)
	if errors.Is(err, ice.ErrRefused) {
		return made, fmt.Errorf("%w: %w", grant.ErrSpent, err)
	}
	if err != nil {
		return made, err
	}
	for i, m := range minted {
		if err := r.opened(requests[i], m.Handle); err != nil {
			for _, m := range minted {
				err = errors.Join(err, r.Revoke(context.WithoutCancel(ctx), m.Handle))
			}
			return [2]grant.Credential{}, err
		}
		made[i] = grant.Credential{Servers: m.Servers, Handle: m.Handle}
	}
	return made, nil
}

// requestsFor is what issuers are asked for; region is of those who name none.
func requestsFor(pair [2]grant.Order, region string) (requests []ice.Request) {
	for _, o := range pair {
		if o.Need.Region == "" {
			o.Need.Region = region
		}
		requests = append(requests, ice.Request{
			Session: o.Member.Session, Member: o.Member.Peer, Life: time.Until(o.NotAfter), Region: o.Need.Region,
			Until: o.Until, Addr: o.Member.Addr, Auth: o.Auth, Bytes: o.Need.Bytes,
			Closed: o.Member.Terms.Closed, DayBytes: o.Member.Terms.DayBytes,
		})
	}
	return requests
}

// buys tells whether name is a bought relay's, and not ours or a node's.
func (r *relays) buys(name string) bool {
	return name != config.OwnRelay && r.fleet.node(name) == nil
}

// opened counts a bought credential; ours was, before it was put.
func (r *relays) opened(req ice.Request, handle string) error {
	name, _ := ice.Split(handle)
	if !r.buys(name) {
		return nil
	}
	chain := boughtChain(req, name)
	if err := r.ledger.Open(handle, chain, req.Bytes); err != nil {
		return refusal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bought[handle] = chain
	return nil
}

// boughtChain is what a credential of a bought relay spends from.
func boughtChain(req ice.Request, name string) budget.Chain {
	return budget.Chain{Session: req.Session, Member: req.Member, Price: name}
}

// refusal makes a spent budget known to package grant, as an answer that is final.
func refusal(err error) error {
	err = short(err)
	if errors.Is(err, budget.ErrSpent) || errors.Is(err, grants.ErrSpent) {
		return fmt.Errorf("%w: %w", grant.ErrSpent, err)
	}
	return err
}

// put makes a grant at our relay, with its account.
func (r *relays) put(_ context.Context, req ice.Request, expires time.Time) (id, username, password string, err error) {
	if r.leaving.Load() {
		return "", "", "", fmt.Errorf("it drains: %w", ice.ErrAway)
	}
	id = ice.NewGrantID()
	g := relay.Grant{ID: id, Session: req.Session, Member: req.Member, Until: req.Until, NotAfter: expires, ICE: auths(req.Auth)}
	if req.Addr.IsValid() {
		g.Addrs = append(g.Addrs, req.Addr)
	}
	if req.Closed {
		g.Policy = policy.P4
	}
	if err := r.account(id, config.OwnRelay, "", req); err != nil {
		return "", "", "", err
	}
	if err = r.own.Put(g); err == nil {
		username, password, err = r.own.Credential(id, expires)
	}
	if err != nil {
		r.own.Delete(id)
		r.unaccount(id)
		return "", "", "", r.refused(err)
	}
	return id, username, password, nil
}

// account opens the account of a grant at a relay of ours, which price names.
func (r *relays) account(id, where, price string, req ice.Request) error {
	chain := budget.Chain{Session: req.Session, Member: req.Member, Price: price, Daily: budget.Cap{Bytes: req.DayBytes}}
	if err := r.ledger.Open(id, chain, req.Bytes); err != nil {
		return r.refused(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[id] = where
	return nil
}

// unaccount undoes account for a grant that was not put.
func (r *relays) unaccount(id string) {
	r.ledger.CloseGrant(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, id)
}

// refused makes a spent budget final for an ice.Chain: what is denied here is not bought elsewhere.
func (r *relays) refused(err error) error {
	if refusal := refusal(err); errors.Is(refusal, grant.ErrSpent) {
		return fmt.Errorf("%w: %w", ice.ErrRefused, refusal)
	}
	return err
}

func auths(list []ice.Auth) (of []relay.ICEAuth) {
	for _, a := range list {
		of = append(of, relay.ICEAuth(a))
	}
	return of
}

// Renew implements grant.Relay. Bought credentials live until they are revoked, which a spent budget does, too.
func (r *relays) Renew(_ context.Context, handle string, until time.Time, auth []ice.Auth) (err error) {
	name, id := ice.Split(handle)
	if node := r.fleet.node(name); node != nil {
		err = node.Renew(id, until, ice.Auths(auth))
	} else if name == config.OwnRelay {
		err = r.own.Renew(id, until, auths(auth))
	} else if !r.holds(handle) {
		return grant.ErrGone
	}
	if errors.Is(err, relay.ErrNoGrant) || errors.Is(err, control.ErrUnknown) {
		return fmt.Errorf("%w: %w", grant.ErrGone, err)
	}
	return err
}

// holds tells whether a bought credential was not revoked.
func (r *relays) holds(handle string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.bought[handle]
	return ok
}

// Revoke implements grant.Relay.
func (r *relays) Revoke(ctx context.Context, handle string) error {
	err := r.issuer.Revoke(ctx, handle)
	if name, _ := ice.Split(handle); r.buys(name) {
		r.mu.Lock()
		delete(r.bought, handle)
		r.mu.Unlock()
		r.ledger.CloseGrant(handle)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil // ends by its expiry only, as its capabilities say
	}
	return err
}

// end ends a grant at our relay.
func (r *relays) end(_ context.Context, id string) error {
	r.own.Delete(id)
	r.ended(id)
	return nil
}

// ended has the account of a grant closed when its relay has settled.
func (r *relays) ended(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if where, ok := r.live[id]; ok {
		delete(r.live, id)
		r.closing[id] = closing{time.Now().Add(settleIn), where}
	}
}

// owns tells whether a grant is, or just was, at a place.
func (r *relays) owns(where, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[id] == where || r.closing[id].where == where
}

// run closes accounts, and acts on what the ledger says; tell passes that on to members.
func (r *relays) run(ctx context.Context, tell func(context.Context, budget.Event)) error {
	tick := time.NewTicker(settleIn / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.closeAccounts(time.Now())
		case e := <-r.ledger.Events():
			if e.Kind == budget.Cut {
				r.cut(ctx, e)
			}
			tell(ctx, e)
		}
	}
}

func (r *relays) closeAccounts(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.closing, func(id string, c closing) bool {
		if now.Before(c.at) {
			return false
		}
		r.ledger.CloseGrant(id)
		return true
	})
}

// cut revokes the bought credentials that an empty account concerns. Our own relay cuts by
// itself: it gets no more leases.
func (r *relays) cut(ctx context.Context, e budget.Event) {
	r.mu.Lock()
	var ended []string
	for handle, c := range r.bought {
		if e.Concerns(c, handle) {
			ended = append(ended, handle)
		}
	}
	r.mu.Unlock()
	for _, handle := range ended {
		if err := r.Revoke(ctx, handle); err != nil {
			r.log.WarnContext(ctx, "a bought credential outlives its budget", "err", err)
		}
	}
}

// leases is the ledger as the relay knows it.
type leases struct{ *budget.Ledger }

// Lease implements relay.Ledger.
func (l leases) Lease(ctx context.Context, id string, want int64) (int64, error) {
	n, err := l.Ledger.Lease(ctx, id, want)
	return n, spentOf(err)
}

// spentOf makes the ledger's ErrSpent the relay's.
func spentOf(err error) error {
	if errors.Is(err, budget.ErrSpent) {
		return fmt.Errorf("%w: %w", grants.ErrSpent, err)
	}
	return err
}
