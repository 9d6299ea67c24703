package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/httpx"
	"causeway/internal/ice"
	"causeway/internal/relay/control"
)

// openNodes makes the issuers of relay nodes elsewhere. A function has no link that stays up, so
// these nodes keep their own books: what may be relayed there, they say, and nothing is leased. When a
// session's budget is nearly or wholly spent, they tell (Ear), so that its members can be told.
func openNodes(cfg config.Config, signingKey []byte) (list []ice.Named, nodes map[string]*control.Client, err error) {
	nodes = map[string]*control.Client{}
	for _, n := range cfg.RelayNode {
		key, err := control.NewKey(signingKey, n.Name)
		if err != nil {
			return nil, nil, fmt.Errorf("relay_node: %w", err)
		}
		client, err := control.NewClient(n.URL, key, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("relay_node: %w", err)
		}
		issuer, err := ice.NewNode(ice.NodeConfig{Relay: client, Policy: cfg.PeerPolicy})
		if err != nil {
			return nil, nil, err
		}
		nodes[n.Name] = client
		list = append(list, ice.Named{Name: n.Name, Issuer: issuer, Region: n.Region})
	}
	return list, nodes, nil
}

// node returns the node that a handle is of; nil if it is of a bought relay.
func (r *boughtRelays) node(handle string) (n *control.Client, id string) {
	name, id := ice.Split(handle)
	nodes := r.nodes.Load()
	if nodes == nil {
		return nil, id
	}
	return (*nodes)[name], id
}

// Renew implements grant.Relay: bought credentials live until they are revoked, a node's until then.
func (r *boughtRelays) Renew(ctx context.Context, handle string, until time.Time, _ []ice.Auth) error {
	n, id := r.node(handle)
	if n == nil {
		return nil
	}
	live := max(1, time.Until(until).Milliseconds())
	gone, err := n.Change(ctx, control.Changes{Renew: []control.Renewal{{ID: id, Live: live}}})
	if err == nil && slices.Contains(gone, id) {
		return grant.ErrGone
	}
	return err
}

// openEar makes what nodes tell of their books heard.
func (f *Functions) openEar() (err error) {
	f.relays.ear, err = control.NewEar(control.EarConfig{
		Find: func(name string) (control.Key, bool) {
			if nodes := f.relays.nodes.Load(); nodes != nil && (*nodes)[name] != nil {
				return (*nodes)[name].Key(), true
			}
			return control.Key{}, false
		},
		Heard:      f.heard,
		Logger:     f.log.With("part", "control"),
		Registerer: f.ops.Registry,
	})
	return err
}

// What one node may say: each time members are told costs messages.
const (
	toldBurst = 600
	toldEvery = 200 * time.Millisecond
)

// heard passes on what a node says about a budget to the members whom it concerns. The node has cut by itself.
func (f *Functions) heard(ctx context.Context, node string, t control.Told) error {
	e := budget.Event{Session: t.Session, Member: t.Member}
	switch t.Level {
	case budget.Session.String():
		e.Level = budget.Session
	case budget.Member.String():
		e.Level = budget.Member
	case budget.Credential.String():
		e.Level = budget.Credential
	default:
		return &httpx.Error{Status: http.StatusBadRequest, Code: "bad_request", Message: "There is no such account."}
	}
	if t.Spent {
		e.Kind = budget.Cut
	}
	ok, err := f.store.Take(ctx, "told by "+node, time.Now(), toldBurst, toldEvery)
	if err != nil {
		return err
	}
	if !ok {
		return &httpx.Error{Status: http.StatusTooManyRequests, Code: "busy", Message: "This node says too much."}
	}
	f.parts.Load().signaling.Budget(ctx, e)
	return nil
}
