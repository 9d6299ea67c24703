package ice

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"causeway/internal/relay/control"
	"causeway/internal/relay/credential"
)

// NodeRelay is a relay node: a control.Client, which keeps nothing, or a control.Remote.
type NodeRelay interface {
	Key() control.Key
	Put(ctx context.Context, id string, g control.Grant) (control.Placed, error)
	Delete(ctx context.Context, id string) error
}

// NodeConfig configures a Node. Only Relay is required: without the rest, the node keeps its own books.
type NodeConfig struct {
	Relay NodeRelay
	// Policy is the level of grants that are not closed, such as "p2"; empty: the node's.
	Policy string
	// Ready tells why the node is not to be asked; ErrAway (wrapped), as a rule.
	Ready func() error
	// Open makes the account of a grant that is about to be put, ErrRefused (wrapped) if a budget is spent. Close
	// is called for one that was not put, or is revoked.
	Open  func(id string, r Request) error
	Close func(id string)
}

// Node is the Issuer for a relay node elsewhere.
type Node struct{ cfg NodeConfig }

// NewNode checks cfg.
func NewNode(cfg NodeConfig) (*Node, error) {
	if cfg.Relay == nil || (cfg.Open == nil) != (cfg.Close == nil) {
		return nil, errors.New("ice: incomplete configuration of a relay node")
	}
	return &Node{cfg}, nil
}

// NewGrantID makes the id of a grant.
func NewGrantID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Mint puts a grant, and makes the credential that names it. The node is not asked for that: a key that it shares
// with us makes it.
func (n *Node) Mint(ctx context.Context, r Request) (Minted, error) {
	if n.cfg.Ready != nil {
		if err := n.cfg.Ready(); err != nil {
			return Minted{}, err
		}
	}
	id := NewGrantID()
	if n.cfg.Open != nil {
		if err := n.cfg.Open(id, r); err != nil {
			return Minted{}, err
		}
	}
	m, err := n.put(ctx, id, r)
	if err != nil {
		if n.cfg.Close != nil {
			n.cfg.Close(id)
		}
		if control.Transport(err) { // it may have been put all the same; else it ends by itself
			_ = n.cfg.Relay.Delete(context.WithoutCancel(ctx), id)
		}
	}
	switch {
	case errors.Is(err, control.ErrSpent):
		return Minted{}, fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, control.ErrAway):
		return Minted{}, fmt.Errorf("%w: %w", ErrAway, err)
	case err != nil:
		return Minted{}, err
	}
	return m, nil
}

func (n *Node) put(ctx context.Context, id string, r Request) (Minted, error) {
	life := time.Duration(seconds(r.Life, defaultLife, maxLife)) * time.Second
	expires := time.Now().Add(life).Truncate(time.Second)
	live := life
	if !r.Until.IsZero() {
		live = time.Until(r.Until)
	}
	g := control.Grant{
		Session: r.Session, Member: r.Member, Live: int64(max(1, live/time.Millisecond)), Most: int64(life / time.Millisecond),
		Policy: n.cfg.Policy, ICE: Auths(r.Auth), Bytes: r.Bytes, Day: r.DayBytes,
	}
	if r.Closed {
		g.Policy = "p4"
	}
	if r.Addr.IsValid() {
		g.Addrs = append(g.Addrs, r.Addr)
	}
	p, err := n.cfg.Relay.Put(ctx, id, g)
	if err != nil {
		return Minted{}, err
	}
	key, kid := n.cfg.Relay.Key().TURN()
	username, password, err := credential.MintGrant(key, kid, id, p.Realm, expires)
	if err != nil {
		return Minted{}, fmt.Errorf("mint for node: %w", err)
	}
	servers, err := tidy(split(p.URLs, username, password))
	if err != nil {
		return Minted{}, fmt.Errorf("mint for node: %w", err)
	}
	return Minted{Servers: servers, Handle: id, Expires: expires}, nil
}

// Auths are a member's, as a node takes them.
func Auths(list []Auth) (of []control.ICE) {
	for _, a := range list {
		of = append(of, control.ICE(a))
	}
	return of
}

// Revoke deletes the grant.
func (n *Node) Revoke(ctx context.Context, handle string) error {
	if n.cfg.Close != nil {
		n.cfg.Close(handle)
	}
	return n.cfg.Relay.Delete(ctx, handle)
}

// Usage is unsupported: a node leases, from the control plane or from its own books.
func (n *Node) Usage(context.Context, []string) (map[string]int64, error) {
	return nil, fmt.Errorf("usage of a relay node: %w", errors.ErrUnsupported)
}

// Capabilities: everything.
func (n *Node) Capabilities() Capabilities {
	return Capabilities{Expires: true, Label: true, Revoke: true, Usage: true, ByteCap: true, PeerPolicy: true, Regions: true}
}
