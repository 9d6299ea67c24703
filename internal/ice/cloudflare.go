package ice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"causeway/internal/secret"
)

// Cloudflare is the Issuer for Cloudflare Realtime TURN (developers.cloudflare.com/realtime/turn).
// It is anycast, so there are no regions.
type Cloudflare struct {
	cfg  CloudflareConfig
	rest rest
}

// CloudflareConfig configures a Cloudflare.
type CloudflareConfig struct {
	KeyID string       // of the TURN key
	Key   secret.Value // the TURN key itself, which mints and revokes
	// Account and Analytics, a token with Account Analytics, are for usage; without them
	// there is none, and budgets don't see what is relayed.
	Account   string
	Analytics secret.Value
	Base, API string       // by default https://rtc.live.cloudflare.com and https://api.cloudflare.com
	Client    *http.Client // its transport is used; nil: the default one
}

const (
	cloudflareLife = 48 * time.Hour // at most
	// maxQueries of GraphQL at a poll; 300 a minute are allowed.
	maxQueries = 200
	// maxGroups of one answer: the credentials of a session.
	maxGroups = 1000
)

// NewCloudflare checks cfg.
func NewCloudflare(cfg CloudflareConfig) (*Cloudflare, error) {
	if cfg.Base == "" {
		cfg.Base = "https://rtc.live.cloudflare.com"
	}
	if cfg.API == "" {
		cfg.API = "https://api.cloudflare.com"
	}
	for _, base := range []string{cfg.Base, cfg.API} {
		if err := checkOrigin(base); err != nil {
			return nil, fmt.Errorf("ice: cloudflare: %w", err)
		}
	}
	if cfg.KeyID == "" || strings.ContainsAny(cfg.KeyID, "/?#%") || cfg.Key.IsZero() {
		return nil, errors.New("ice: cloudflare without a key id or a key")
	}
	if (cfg.Account == "") != cfg.Analytics.IsZero() {
		return nil, errors.New("ice: cloudflare: account and analytics token go together")
	}
	cfg.Base, cfg.API = strings.TrimSuffix(cfg.Base, "/"), strings.TrimSuffix(cfg.API, "/")
	return &Cloudflare{cfg, newREST(cfg.Client)}, nil
}

func (c *Cloudflare) address(path string) string {
	return c.cfg.Base + "/v1/turn/keys/" + c.cfg.KeyID + "/credentials/" + path
}

// Mint makes a credential with the session's id as its custom identifier.
func (c *Cloudflare) Mint(ctx context.Context, r Request) (Minted, error) {
	life := seconds(r.Life, defaultLife, cloudflareLife)
	expires := time.Now().Add(time.Duration(life) * time.Second).Truncate(time.Second)
	var answer struct{ ICEServers oneOrMany[foreign] } // the older variant has one object
	body := map[string]any{"ttl": life, "customIdentifier": r.Session}
	if err := c.rest.call(ctx, http.MethodPost, c.address("generate-ice-servers"), c.cfg.Key.Reveal(), body, &answer); err != nil {
		return Minted{}, fmt.Errorf("mint at cloudflare: %w", err)
	}
	list, err := servers(answer.ICEServers)
	if err != nil {
		return Minted{}, fmt.Errorf("mint at cloudflare: %w", err)
	}
	username := list[len(list)-1].Username
	for _, s := range list {
		if s.Username != "" {
			username = s.Username
		}
	}
	return Minted{Servers: list, Handle: r.Session + "/" + username, Expires: expires}, nil
}

// Revoke ends billing at once, and a running connection after a short delay.
func (c *Cloudflare) Revoke(ctx context.Context, handle string) error {
	_, username, _ := strings.Cut(handle, "/")
	err := c.rest.call(ctx, http.MethodPost, c.address(url.PathEscape(username)+"/revoke"), c.cfg.Key.Reveal(), nil, nil)
	if code, _ := status(err); err != nil && code != http.StatusNotFound {
		return fmt.Errorf("revoke at cloudflare: %w", err)
	}
	return nil
}

// usageQuery asks for one session, as figures are sampled and get worse with more of them.
const usageQuery = `query($account: string!, $key: string!, $session: string!, $from: Date!, $limit: uint64!) {
  viewer { accounts(filter: {accountTag: $account}) {
    callsTurnUsageAdaptiveGroups(filter: {date_geq: $from, keyId: $key, customIdentifier: $session}, limit: $limit) {
      sum { egressBytes } dimensions { username }
    }
  } }
}`

// Usage returns what was sent to the TURN clients, which is what is billed. Where there are
// more than 200 sessions, the rest is left for the next time, with an error.
func (c *Cloudflare) Usage(ctx context.Context, handles []string) (map[string]int64, error) {
	if c.cfg.Account == "" {
		return nil, fmt.Errorf("usage of cloudflare: no account is configured: %w", errors.ErrUnsupported)
	}
	bySession := map[string]map[string]bool{}
	for _, h := range handles {
		session, _, _ := strings.Cut(h, "/")
		if bySession[session] == nil {
			bySession[session] = map[string]bool{}
		}
		bySession[session][h] = true
	}
	total := map[string]int64{}
	var errs []error
	asked := 0
	for session, wanted := range bySession { // in any order, so that each has its turn
		if asked++; asked > maxQueries {
			errs = append(errs, fmt.Errorf("usage of cloudflare: %d sessions are too many to ask about at once", len(bySession)))
			break
		}
		if err := c.usageOf(ctx, session, wanted, total); err != nil {
			errs = append(errs, fmt.Errorf("usage of cloudflare: %w", err))
			break // it is down, or counts our requests
		}
	}
	return total, errors.Join(errs...)
}

func (c *Cloudflare) usageOf(ctx context.Context, session string, wanted map[string]bool, total map[string]int64) error {
	body := map[string]any{"query": usageQuery, "variables": map[string]any{
		"account": c.cfg.Account, "key": c.cfg.KeyID, "session": session, "limit": maxGroups,
		"from": time.Now().UTC().Add(-cloudflareLife).Format(time.DateOnly), // no credential is older
	}}
	var answer struct {
		Data struct {
			Viewer struct {
				Accounts []struct {
					Groups []struct {
						Sum        struct{ EgressBytes number }
						Dimensions struct{ Username string }
					} `json:"callsTurnUsageAdaptiveGroups"`
				}
			}
		}
		Errors []struct{ Message string }
	}
	if err := c.rest.call(ctx, http.MethodPost, c.cfg.API+"/client/v4/graphql", c.cfg.Analytics.Reveal(), body, &answer); err != nil {
		return err
	}
	if len(answer.Errors) > 0 { // with status 200
		return fmt.Errorf("%w: graphql refuses the query", ErrAnswer)
	}
	for _, a := range answer.Data.Viewer.Accounts {
		for _, g := range a.Groups {
			if h := session + "/" + g.Dimensions.Username; wanted[h] {
				total[h] = min(maxUsage, total[h]+g.Sum.EgressBytes.bytes(1))
			}
		}
	}
	return nil
}

// Capabilities: no cap of bytes, and any public peer. The delay of revoking is called short.
func (c *Cloudflare) Capabilities() Capabilities {
	usage := c.cfg.Account != ""
	delay := 30 * time.Second
	if !usage {
		delay = -1
	}
	return Capabilities{Expires: true, Label: true, Revoke: true, RevokeDelay: -1, Usage: usage, UsageDelay: delay}
}
