package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"causeway/internal/ice"
	"causeway/internal/relay"
)

// minterConfig is what a minter works with.
type minterConfig struct {
	relay *relay.Server
	key   []byte
	urls  func() []string
	stun  []string // further stun: URLs
	// life is how long a client is told that its credential is good; presence is how long
	// a grant lives without being asked for again.
	life, presence time.Duration
}

// minter is the ice.Provider of the relay in this process: it puts a grant for each
// member that asks, and returns the credential that names it. A member has one grant, so
// that asking again enlarges nothing.
type minter struct{ cfg minterConfig }

func newMinter(cfg minterConfig) (*minter, error) {
	for _, u := range cfg.stun {
		if err := ice.CheckSTUN(u); err != nil {
			return nil, err
		}
	}
	return &minter{cfg}, nil
}

// Servers implements ice.Provider. member is the session's and the peer's id, with a dot between
// them, as package signaling has them.
func (m *minter) Servers(ctx context.Context, member string) ([]ice.Server, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, fmt.Errorf("ice servers: %w", err)
	}
	dot := strings.LastIndexByte(member, '.')
	if dot <= 0 {
		return nil, time.Time{}, errors.New("ice servers: member without session")
	}
	now := time.Now()
	expires := now.Add(m.cfg.life).Truncate(time.Second)
	id := m.grantID(member)
	grant := relay.Grant{ID: id, Session: member[:dot], Member: member, Until: now.Add(max(m.cfg.presence, m.cfg.life))}
	if err := m.cfg.relay.Put(grant); err != nil {
		return nil, time.Time{}, fmt.Errorf("ice servers: %w", err)
	}
	username, password, err := m.cfg.relay.Credential(id, expires)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("ice servers: %w", err)
	}
	var stun, turn []string
	for _, u := range m.cfg.urls() {
		if strings.HasPrefix(u, "turn") {
			turn = append(turn, u)
		} else {
			stun = append(stun, u)
		}
	}
	servers := []ice.Server{{URLs: append(stun, m.cfg.stun...)}}
	if len(turn) == 0 {
		return servers, time.Time{}, nil
	}
	return append(servers, ice.Server{URLs: turn, Username: username, Credential: password}), expires, nil
}

// grantID is the same for all requests of a member, and says nothing about it.
func (m *minter) grantID(member string) string {
	mac := hmac.New(sha256.New, m.cfg.key)
	mac.Write([]byte("grant\x00" + member))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:12])
}
