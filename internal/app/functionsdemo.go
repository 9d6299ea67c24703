package app

import (
	"context"
	"net/http"
	"time"

	"causeway/internal/demo"
	"causeway/internal/grant"
	"causeway/internal/guard"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/realtime/azure"
)

// newDemo makes the example chat, if it is to be offered. What it knows of rates and messages is in the
// database that instances share.
func (f *Functions) newDemo(p *parts) (*demo.Demo, error) {
	if !f.cfg.Demo {
		return nil, nil
	}
	stun := stunOnly(f.cfg)
	return demo.New(demo.Config{
		Realtime:   p.chat,
		ICE:        func() []ice.Server { return stun },
		Relays:     p.keeper,
		Rates:      f.store,
		Count:      f.stats.messages.add,
		Refused:    f.stats.Refused,
		Origins:    f.cfg.DemoOrigins,
		Origin:     f.origin,
		ClientAddr: f.clientAddr,
		Admit:      admitOther(func() *guard.Guard { return p.admission.Guard }, f.clientAddr),
		DayBytes:   int64(f.cfg.DemoBudget),
		Logger:     f.log.With("part", "demo"),
	})
}

// demoOr has the example chat answer what is its own, and next the rest.
func (p *parts) demoOr(next http.Handler) http.Handler {
	if p.demo == nil {
		return next
	}
	return p.demo.Handler(next)
}

// chatDirectory is a directory that knows about the members of the example chat as well: each is a connection
// to its hub. Nobody is removed from it.
type chatDirectory struct {
	directory
	chat *azure.Client
}

// Present implements shared.Directory.
func (d chatDirectory) Present(ctx context.Context, session, peer string) (bool, error) {
	if session != demo.Session {
		return d.directory.Present(ctx, session, peer)
	}
	return d.chat.Exists(ctx, realtime.ToConnection(peer))
}

// Shut implements shared.Directory.
func (d chatDirectory) Shut(ctx context.Context, session, peer string, life time.Duration) error {
	if session != demo.Session {
		return d.directory.Shut(ctx, session, peer, life)
	}
	return d.chat.CloseConnection(ctx, peer, "removed from the demo")
}

// IsShut implements shared.Directory.
func (d chatDirectory) IsShut(ctx context.Context, session, peer string) (bool, error) {
	if session != demo.Session {
		return d.directory.IsShut(ctx, session, peer)
	}
	return false, nil
}

// Others implements shared.Directory.
func (d chatDirectory) Others(ctx context.Context, m grant.Member) (int, error) {
	if m.Session != demo.Session {
		return d.directory.Others(ctx, m)
	}
	return others(ctx, d.chat, realtime.Group(demo.Group), m.Peer, func(c realtime.ConnectionInfo) string { return c.ConnectionID })
}
