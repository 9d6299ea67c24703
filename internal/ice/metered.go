package ice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"causeway/internal/secret"
)

// Metered is the Issuer for Metered's TURN service, by its REST API
// (metered.ca/docs/turn-rest-api): one credential a member, labelled with the session's id,
// and disabled when the member leaves. Expiring credentials need a paid plan.
type Metered struct {
	cfg  MeteredConfig
	rest rest
}

// MeteredConfig configures a Metered.
type MeteredConfig struct {
	Base      string       // https://<app>.metered.live
	SecretKey secret.Value // the account's
	Region    string       // global, europe, north_america, …; empty: the provider's choice
	Client    *http.Client // its transport is used; nil: the default one
}

const (
	meteredLife = 24 * time.Hour // at most, here; the provider states no limit
	// gigabyte: the provider does not say whether it counts decimal ones; these are the
	// smaller, and its invoices' unit.
	gigabyte = 1e9
	// fewHandles are asked about one by one; more by pages of all.
	fewHandles = 5
	maxPages   = 400
	// undoTimeout is what a caller may wait longer than its context.
	undoTimeout = 3 * time.Second
)

// NewMetered checks cfg.
func NewMetered(cfg MeteredConfig) (*Metered, error) {
	if err := checkOrigin(cfg.Base); err != nil {
		return nil, fmt.Errorf("ice: metered: %w", err)
	}
	if cfg.SecretKey.IsZero() {
		return nil, errors.New("ice: metered without a secret key")
	}
	if !isRegion(cfg.Region) {
		return nil, fmt.Errorf("ice: metered: %q is not the name of a region", cfg.Region)
	}
	cfg.Base = strings.TrimSuffix(cfg.Base, "/")
	return &Metered{cfg, newREST(cfg.Client)}, nil
}

func isRegion(s string) bool {
	return len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// address of a call that takes the account's secret.
func (m *Metered) address(path string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	query.Set("secretKey", m.cfg.SecretKey.Reveal())
	return m.cfg.Base + path + "?" + query.Encode()
}

// Mint makes a credential, and asks which servers take it.
func (m *Metered) Mint(ctx context.Context, r Request) (Minted, error) {
	life := seconds(r.Life, defaultLife, meteredLife)
	expires := time.Now().Add(time.Duration(life) * time.Second).Truncate(time.Second)
	var made struct{ Username, Password, APIKey string }
	body := map[string]any{"expiryInSeconds": life, "label": r.Session}
	if err := m.rest.call(ctx, http.MethodPost, m.address("/api/v1/turn/credential", nil), "", body, &made); err != nil {
		return Minted{}, fmt.Errorf("mint at metered: %w", err)
	}
	if made.Username == "" || made.APIKey == "" {
		return Minted{}, fmt.Errorf("mint at metered: %w: no credential", ErrAnswer)
	}
	list, err := m.servers(ctx, made.APIKey, r.Region)
	if err != nil { // nobody will use it
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if undo := m.Revoke(late, made.Username); undo != nil {
			err = errors.Join(err, undo)
		}
		return Minted{}, fmt.Errorf("mint at metered: %w", err)
	}
	return Minted{Servers: list, Handle: made.Username, Expires: expires}, nil
}

// servers: the key is the credential's own, which clients may know.
func (m *Metered) servers(ctx context.Context, apiKey, region string) ([]Server, error) {
	query := url.Values{"apiKey": {apiKey}}
	if region == "" || !isRegion(region) {
		region = m.cfg.Region
	}
	if region != "" {
		query.Set("region", region)
	}
	var list []foreign
	if err := m.rest.call(ctx, http.MethodGet, m.cfg.Base+"/api/v1/turn/credentials?"+query.Encode(), "", nil, &list); err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	return servers(list)
}

// Revoke disables a credential; deleted, its usage could not be asked for any more.
func (m *Metered) Revoke(ctx context.Context, handle string) error {
	err := m.rest.call(ctx, http.MethodPost, m.address("/api/v1/turn/credential/disable", nil), "", map[string]string{"username": handle}, nil)
	switch code, text := status(err); {
	case code == http.StatusBadRequest && strings.Contains(text, "already"), // disabled
		code == http.StatusUnauthorized && strings.Contains(text, "not found"): // expired, and swept up
		return nil
	}
	if err != nil {
		return fmt.Errorf("revoke at metered: %w", err)
	}
	return nil
}

// Usage asks for each credential, or for all if there are many.
func (m *Metered) Usage(ctx context.Context, handles []string) (map[string]int64, error) {
	if len(handles) > fewHandles {
		return m.usageOfAll(ctx, handles)
	}
	total := map[string]int64{}
	var errs []error
	for _, h := range handles {
		var answer struct{ UsageInGB *number }
		err := m.rest.call(ctx, http.MethodGet, m.address("/api/v1/turn/current_usage_for_user", url.Values{"username": {h}}), "", nil, &answer)
		if err != nil {
			errs = append(errs, fmt.Errorf("usage of metered: %w", err))
		} else if answer.UsageInGB != nil {
			total[h] = answer.UsageInGB.bytes(gigabyte)
		}
	}
	return total, errors.Join(errs...)
}

func (m *Metered) usageOfAll(ctx context.Context, handles []string) (map[string]int64, error) {
	wanted := map[string]bool{}
	for _, h := range handles {
		wanted[h] = true
	}
	total := map[string]int64{}
	for page := 1; page <= maxPages; page++ {
		var answer struct {
			Data []struct {
				Username  string
				UsageInGB number
			}
			HasMore bool `json:"has_more"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}}
		if err := m.rest.call(ctx, http.MethodGet, m.address("/api/v2/turn/current_usage_by_user", query), "", nil, &answer); err != nil {
			return total, fmt.Errorf("usage of metered: %w", err)
		}
		for _, d := range answer.Data {
			if wanted[d.Username] {
				total[d.Username] = d.UsageInGB.bytes(gigabyte)
			}
		}
		if !answer.HasMore || len(answer.Data) == 0 || len(total) == len(wanted) {
			return total, nil
		}
	}
	return total, fmt.Errorf("usage of metered: more than %d pages", maxPages)
}

// Capabilities: budgets by polling only, and any peer. How fast disabling cuts, and how old the
// figures are, is not stated.
func (m *Metered) Capabilities() Capabilities {
	return Capabilities{Expires: true, Label: true, Revoke: true, RevokeDelay: -1, Usage: true, UsageDelay: -1, Regions: true}
}
