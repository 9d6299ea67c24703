package app

import (
	"context"
	"time"

	"causeway/internal/grant"
	"causeway/internal/ice"
)

// relays gives out the use of our own relay.
type relays struct{ provider ice.Provider }

// Mint implements grant.Relay.
func (r relays) Mint(ctx context.Context, o grant.Order) (grant.Credential, error) {
	servers, _, err := r.provider.Servers(ctx, o.Member.Session+"."+o.Member.Peer)
	if err != nil {
		return grant.Credential{}, err
	}
	var c grant.Credential
	for _, s := range servers {
		if s.Username != "" {
			c.Servers = append(c.Servers, s)
			c.Handle = s.Username
		}
	}
	if len(c.Servers) == 0 {
		return grant.Credential{}, grant.ErrNoRelay
	}
	return c, nil
}

// Renew implements grant.Relay.
func (relays) Renew(context.Context, string, time.Time) error { return nil }

// Revoke implements grant.Relay.
func (relays) Revoke(context.Context, string) error { return nil }
