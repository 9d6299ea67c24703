package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay/control"
)

// openNodes makes the issuers of relay nodes elsewhere. A function has no link that stays up, so
// these nodes keep their own books: what may be relayed there, they say, and nothing is leased.
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
