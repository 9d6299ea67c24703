package ice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"causeway/internal/relay/credential"
	"causeway/internal/secret"
)

// Own is the Issuer for Causeway's own relay. It knows the relay by functions, so that a
// process that only signals need not have one.
type Own struct {
	cfg OwnConfig
}

// OwnConfig configures an Own. All fields are required.
type OwnConfig struct {
	// URLs returns the relay's STUN and TURN URLs as they are now.
	URLs func() []string
	// Grant puts a grant for a member, and returns its id and the credential that names it.
	// ErrRefused (wrapped) is final, for a spent budget; another error, such as a full
	// relay, is a reason to ask the next Issuer.
	Grant func(ctx context.Context, r Request, expires time.Time) (id, username, password string, err error)
	// Delete ends a grant, with its data path.
	Delete func(ctx context.Context, id string) error
}

// NewOwn checks cfg.
func NewOwn(cfg OwnConfig) (*Own, error) {
	if cfg.URLs == nil || cfg.Grant == nil || cfg.Delete == nil {
		return nil, errors.New("ice: own relay without urls, grant or delete")
	}
	return &Own{cfg}, nil
}

// Mint puts a grant. Without a TURN URL it fails, so that the next Issuer is asked.
func (o *Own) Mint(ctx context.Context, r Request) (Minted, error) {
	urls := o.cfg.URLs()
	if !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "turn") }) {
		return Minted{}, errors.New("mint at our relay: it has no turn url")
	}
	expires := time.Now().Add(time.Duration(seconds(r.Life, defaultLife, maxLife)) * time.Second).Truncate(time.Second)
	id, username, password, err := o.cfg.Grant(ctx, r, expires)
	if err != nil {
		return Minted{}, fmt.Errorf("mint at our relay: %w", err)
	}
	return Minted{Servers: split(urls, username, password), Handle: id, Expires: expires}, nil
}

// Revoke deletes the grant.
func (o *Own) Revoke(ctx context.Context, handle string) error { return o.cfg.Delete(ctx, handle) }

// Usage is unsupported: our relay leases from the ledger, and is not polled.
func (o *Own) Usage(context.Context, []string) (map[string]int64, error) {
	return nil, fmt.Errorf("usage of our relay: %w", errors.ErrUnsupported)
}

// Capabilities: everything but regions; usage is not asked for, as it is leased.
func (o *Own) Capabilities() Capabilities {
	return Capabilities{Expires: true, Label: true, Revoke: true, Usage: true, ByteCap: true, PeerPolicy: true}
}

// split makes the ICE servers of URLs: STUN servers take no credential.
func split(urls []string, username, password string) []Server {
	var stun, turn []string
	for _, u := range urls {
		if strings.HasPrefix(u, "turn") {
			turn = append(turn, u)
		} else {
			stun = append(stun, u)
		}
	}
	var all []Server
	if len(stun) > 0 {
		all = append(all, Server{URLs: stun})
	}
	return append(all, Server{URLs: turn, Username: username, Credential: password})
}

// Coturn is the Issuer for coturn with use-auth-secret, and whatever else takes TURN REST
// credentials. Nothing but their expiry binds them.
type Coturn struct {
	urls   []string
	secret secret.Value
}

// NewCoturn takes the server's URLs, at least one of TURN, and static-auth-secret.
func NewCoturn(urls []string, key secret.Value) (*Coturn, error) {
	if key.IsZero() {
		return nil, errors.New("ice: coturn without a secret")
	}
	for _, u := range urls {
		if !usable(u) {
			return nil, fmt.Errorf("ice: %q is not a stun or turn url that browsers take", u)
		}
	}
	if !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "turn") }) {
		return nil, errors.New("ice: coturn without a turn url")
	}
	return &Coturn{slices.Clone(urls), key}, nil
}

// Mint asks nobody.
func (c *Coturn) Mint(ctx context.Context, r Request) (Minted, error) {
	if err := ctx.Err(); err != nil {
		return Minted{}, fmt.Errorf("mint for coturn: %w", err)
	}
	expires := time.Now().Add(time.Duration(seconds(r.Life, defaultLife, maxLife)) * time.Second).Truncate(time.Second)
	username, password := credential.Mint([]byte(c.secret.Reveal()), r.Session+"."+r.Member, expires)
	return Minted{Servers: split(c.urls, username, password), Handle: username, Expires: expires}, nil
}

// Revoke is unsupported: coturn ends single sessions on its console only.
func (c *Coturn) Revoke(context.Context, string) error {
	return fmt.Errorf("revoke at coturn: %w", errors.ErrUnsupported)
}

// Usage is unsupported.
func (c *Coturn) Usage(context.Context, []string) (map[string]int64, error) {
	return nil, fmt.Errorf("usage of coturn: %w", errors.ErrUnsupported)
}

// Capabilities: it expires for new allocations; running ones may go on.
func (c *Coturn) Capabilities() Capabilities {
	return Capabilities{Expires: true, RevokeDelay: -1, UsageDelay: -1}
}
