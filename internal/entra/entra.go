// Package entra is what Causeway needs of Microsoft Entra ID: to check the tokens that managed
// identities show (Verifier), and to hold one's own (Tokens).
//
// Entra is on nobody's request path. Signing keys are fetched once, kept for a day, and fetched
// again early when a token names a key that is not among them, though not more often than every
// minute, as anybody can name a key. A token of our own is fetched ahead of its end in the
// background of the calls that use it, and used to its end while the issuer is down.
package entra

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrToken says that a token is refused; errors that wrap it say why, without any part of it.
var ErrToken = errors.New("token refused")

// VerifierConfig configures a Verifier. Tenant and Audiences are required.
type VerifierConfig struct {
	// Authority publishes the tenant's keys; Issuer, with the tenant behind it, is what tokens
	// name. Managed identities get tokens of version 1, whose issuer is
	// https://sts.windows.net/TENANT/.
	Authority, Issuer string
	Tenant            string
	// Audiences that a token may be for.
	Audiences []string
	// Identities, by their object id, whose tokens are taken; empty: all of the tenant's.
	Identities []string
	// Transport; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

const (
	keysLife    = 24 * time.Hour
	keysRetry   = time.Minute // least time between two fetches
	keysTimeout = 10 * time.Second
	maxDocument = 1 << 20
	maxKeys     = 64
	maxToken    = 16 << 10
	leeway      = 5 * time.Minute // of clocks, as Microsoft's libraries have it
)

// Verifier checks tokens of managed identities. It is safe for concurrent use.
type Verifier struct {
	cfg  VerifierConfig
	http *http.Client

	fetching sync.Mutex // held while keys are fetched
	mu       sync.Mutex
	keys     map[string]*rsa.PublicKey
	fetched  time.Time // successfully
	tried    time.Time
}

// NewVerifier checks cfg and makes a Verifier; it fetches nothing yet.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	if cfg.Tenant == "" || len(cfg.Audiences) == 0 || slices.Contains(cfg.Audiences, "") {
		return nil, errors.New("entra: a tenant and audiences are required")
	}
	cfg.Authority, cfg.Issuer = strings.TrimSuffix(cfg.Authority, "/"), strings.TrimSuffix(cfg.Issuer, "/")
	if cfg.Authority == "" {
		cfg.Authority = "https://login.microsoftonline.com"
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "https://sts.windows.net"
	}
	return &Verifier{cfg: cfg, http: &http.Client{
		Transport:     cfg.Transport,
		Timeout:       keysTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// claims are those that are looked at.
type claims struct {
	Identity string `json:"oid"`
	Tenant   string `json:"tid"`
	jwt.RegisteredClaims
}

// Verify checks a token: its signature by a key of the tenant, its issuer, audience, times, and
// whose it is. An error that does not wrap ErrToken says that the keys could not be had.
func (v *Verifier) Verify(ctx context.Context, token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("%w: it is missing or too long", ErrToken)
	}
	var unknown error // why a key could not be looked up
	c := &claims{}
	_, err := jwt.ParseWithClaims(token, c, func(t *jwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		key, err := v.key(ctx, id)
		unknown = err
		return key, err
	},
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(v.cfg.Issuer+"/"+v.cfg.Tenant+"/"),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithAudience(v.cfg.Audiences...))
	switch {
	case unknown != nil:
		return unknown
	case err != nil:
		return fmt.Errorf("%w: %s", ErrToken, reason(err))
	case c.Tenant != "" && !strings.EqualFold(c.Tenant, v.cfg.Tenant):
		return fmt.Errorf("%w: another tenant", ErrToken)
	case len(v.cfg.Identities) > 0 && !slices.ContainsFunc(v.cfg.Identities, func(id string) bool { return strings.EqualFold(id, c.Identity) }):
		return fmt.Errorf("%w: another identity", ErrToken)
	}
	return nil
}

// reason says in fixed words why a token is invalid.
func reason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "malformed"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "another issuer"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "another audience"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "a claim is missing"
	}
	return "bad signature"
}

// key returns the tenant's key of that id.
func (v *Verifier) key(ctx context.Context, id string) (*rsa.PublicKey, error) {
	if key, fresh := v.known(id); key != nil && fresh {
		return key, nil
	}
	v.fetching.Lock()
	defer v.fetching.Unlock()
	key, fresh := v.known(id) // somebody else may have fetched meanwhile
	if key != nil && fresh {
		return key, nil
	}
	v.mu.Lock()
	wait := time.Since(v.tried) < keysRetry
	if !wait {
		v.tried = time.Now()
	}
	v.mu.Unlock()
	if wait {
		if key != nil {
			return key, nil
		}
		return nil, fmt.Errorf("%w: signed by no known key", ErrToken)
	}
	keys, err := v.fetch(context.WithoutCancel(ctx)) // for everybody, not only for this request
	if err != nil {
		if key != nil { // the old keys serve on while the issuer is down
			return key, nil
		}
		return nil, fmt.Errorf("signing keys of the tenant: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys, v.fetched = keys, time.Now()
	if key = keys[id]; key == nil {
		return nil, fmt.Errorf("%w: signed by no known key", ErrToken)
	}
	return key, nil
}

func (v *Verifier) known(id string) (key *rsa.PublicKey, fresh bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.keys[id], time.Since(v.fetched) < keysLife
}

// fetch reads the metadata, and the keys that it names.
func (v *Verifier) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := v.get(ctx, v.cfg.Authority+"/"+v.cfg.Tenant+"/.well-known/openid-configuration", &metadata); err != nil {
		return nil, err
	}
	if metadata.Issuer != v.cfg.Issuer+"/"+v.cfg.Tenant+"/" {
		return nil, errors.New("the metadata is of another issuer")
	}
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
			ID   string `json:"kid"`
			N    string `json:"n"`
			E    string `json:"e"`
		} `json:"keys"`
	}
	if err := v.get(ctx, metadata.Keys, &set); err != nil {
		return nil, err
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		if k.Type != "RSA" || k.ID == "" || len(keys) == maxKeys {
			continue
		}
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		exponent := new(big.Int).SetBytes(e)
		if errN != nil || errE != nil || len(n) < 256 || !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() > 1<<31-1 {
			continue
		}
		keys[k.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no usable key")
	}
	return keys, nil
}

func (v *Verifier) get(ctx context.Context, address string, to any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("the address is not a URL")
	}
	w, err := v.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = w.Body.Close() }()
	if w.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", w.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(w.Body, maxDocument)).Decode(to); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
