package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay"
	"causeway/internal/relay/grants"
	"causeway/internal/relay/policy"
)

// relays is what package grant gives out: our own relay, and bought ones when that is off or
// full, all of it counted in one ledger.
type relays struct {
	own    *relay.Server // nil: off
	issuer *ice.Chain    // nil: there is no relay at all
	ledger *budget.Ledger
	log    *slog.Logger

	mu      sync.Mutex
	live    map[string]relay.Grant // of our own relay, by id
	bought  map[string]string      // handle → session
	closing map[string]time.Time   // ids of ended grants → when their account is closed
}

// settleIn is how long our relay may take to settle an ended grant.
const settleIn = 10 * time.Second

func newRelays(own *relay.Server, urls func() []string, bought []ice.Named, ledger *budget.Ledger, log *slog.Logger) (*relays, error) {
	r := &relays{own: own, ledger: ledger, log: log, live: map[string]relay.Grant{}, bought: map[string]string{}, closing: map[string]time.Time{}}
	var list []ice.Named
	if own != nil {
		issuer, err := ice.NewOwn(ice.OwnConfig{URLs: urls, Grant: r.put, Delete: r.end})
		if err != nil {
			return nil, err
		}
		list = append(list, ice.Named{Name: config.OwnRelay, Issuer: issuer})
	}
	if list = append(list, bought...); len(list) == 0 {
		return r, nil
	}
	var err error
	r.issuer, err = ice.NewChain(list, log)
	return r, err
}

// Mint implements grant.Relay.
func (r *relays) Mint(ctx context.Context, pair [2]grant.Order) (made [2]grant.Credential, err error) {
	if r.issuer == nil {
		return made, grant.ErrNoRelay
	}
	requests := requestsFor(pair)
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

// requestsFor is what issuers are asked for.
func requestsFor(pair [2]grant.Order) (requests []ice.Request) {
	for _, o := range pair {
		requests = append(requests, ice.Request{
			Session: o.Member.Session, Member: o.Member.Peer, Life: time.Until(o.NotAfter), Region: o.Need.Region,
			Until: o.Until, Addr: o.Member.Addr, Auth: o.Auth, Bytes: o.Need.Bytes,
			Closed: o.Member.Terms.Closed, DayBytes: o.Member.Terms.DayBytes,
		})
	}
	return requests
}

// opened counts a bought credential; ours was, before it was put.
func (r *relays) opened(req ice.Request, handle string) error {
	name, _ := ice.Split(handle)
	if name == config.OwnRelay {
		return nil
	}
	if err := r.ledger.Open(handle, budget.Chain{Session: req.Session, Member: req.Member, Price: name}, req.Bytes); err != nil {
		return refusal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bought[handle] = req.Session
	return nil
}

// refusal makes a spent budget known to package grant, as an answer that is final.
func refusal(err error) error {
	if errors.Is(err, budget.ErrSpent) || errors.Is(err, grants.ErrSpent) {
		return fmt.Errorf("%w: %w", grant.ErrSpent, err)
	}
	return err
}

// put makes a grant at our relay, with its account.
func (r *relays) put(_ context.Context, req ice.Request, expires time.Time) (id, username, password string, err error) {
	var name [12]byte
	if _, err := rand.Read(name[:]); err != nil {
		return "", "", "", err
	}
	id = base64.RawURLEncoding.EncodeToString(name[:])
	g := relay.Grant{ID: id, Session: req.Session, Member: req.Member, Until: req.Until, NotAfter: expires, ICE: auths(req.Auth)}
	if req.Addr.IsValid() {
		g.Addrs = append(g.Addrs, req.Addr)
	}
	if req.Closed {
		g.Policy = policy.P4
	}
	chain := budget.Chain{Session: req.Session, Member: req.Member, Daily: budget.Cap{Bytes: req.DayBytes}}
	if err := r.ledger.Open(id, chain, req.Bytes); err != nil {
		return "", "", "", r.refused(err)
	}
	if err = r.own.Put(g); err == nil {
		username, password, err = r.own.Credential(id, expires)
	}
	if err != nil {
		r.own.Delete(id)
		r.ledger.CloseGrant(id)
		return "", "", "", r.refused(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[id] = g
	return id, username, password, nil
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

// Renew implements grant.Relay. Bought credentials live until they are revoked.
func (r *relays) Renew(_ context.Context, handle string, until time.Time, auth []ice.Auth) error {
	name, id := ice.Split(handle)
	if name != config.OwnRelay {
		return nil
	}
	r.mu.Lock()
	g, ok := r.live[id]
	changed := ok && len(auth) > 0 && (len(auth) != len(g.ICE) || relay.ICEAuth(auth[len(auth)-1]) != g.ICE[len(g.ICE)-1])
	if changed {
		g.ICE = auths(auth)
		r.live[id] = g
	}
	r.mu.Unlock()
	err := r.own.Renew(id, until)
	if err == nil && changed {
		g.Until = until
		err = r.own.Put(g)
	}
	if errors.Is(err, relay.ErrNoGrant) {
		return fmt.Errorf("%w: %w", grant.ErrGone, err)
	}
	return err
}

// Revoke implements grant.Relay.
func (r *relays) Revoke(ctx context.Context, handle string) error {
	err := r.issuer.Revoke(ctx, handle)
	if name, _ := ice.Split(handle); name != config.OwnRelay {
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

// end ends a grant at our relay; its account is closed when that has settled.
func (r *relays) end(_ context.Context, id string) error {
	r.own.Delete(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.live[id]; ok {
		delete(r.live, id)
		r.closing[id] = time.Now().Add(settleIn)
	}
	return nil
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
	maps.DeleteFunc(r.closing, func(id string, at time.Time) bool {
		if now.Before(at) {
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
	for handle, session := range r.bought {
		if e.Session == "" || e.Session == session && (e.Level == budget.Session || e.Grant == handle) {
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
