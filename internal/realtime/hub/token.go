package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"causeway/internal/realtime"

	"github.com/golang-jwt/jwt/v5"
)

// identity is what an access token says of its bearer (§1.5).
type identity struct {
	user      string
	claims    map[string]string
	handshake int   // asrs.s.cht: seconds; 0 is not given
	gap       int   // asrs.s.ttl: seconds between long polls; 0 is not given
	transport int   // asrs.s.htt: bits of the allowed transports; 0 is all
	closeAt   int64 // asrs.s.aeo, if asrs.s.coae: unix seconds; 0 is never
}

const (
	reservedPrefix = "asrs.s."
	userPrefix     = "asrs.u."
	userClaim      = "asrs.s.uid"
	nameIDURI      = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
	// maxToken is what the SDKs refuse to exceed.
	maxToken = 4096
	// skew is how far the clocks of those who sign tokens may be behind.
	skew = 5 * time.Second
)

// reservedClaims are claim names that JWT uses itself, and those that could be
// taken for the user id. Custom claims with such a name carry userPrefix.
var reservedClaims = map[string]bool{
	"aud": true, "exp": true, "iat": true, "nbf": true, "iss": true, "actort": true, "acr": true, "azp": true, "c_hash": true, "jti": true, "nonce": true,
}

var userIDClaims = []string{userClaim, "nameid", nameIDURI, "sub"}

var errToken = errors.New("invalid access token")

// authenticate checks a client's access token for the hub. The key id is ignored:
// SDKs write a random one.
func (h *Hub) authenticate(token, hubName string) (identity, error) {
	if token == "" || len(token) > maxToken {
		return identity{}, errToken
	}
	// Only expiry is validated, like in Azure, and by us, with an audience of our own.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256", "HS512"}), jwt.WithoutClaimsValidation(), jwt.WithJSONNumber())
	var claims jwt.MapClaims
	err := errToken
	for _, key := range h.cfg.Keys() {
		claims = jwt.MapClaims{}
		if _, err = parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
			break
		}
	}
	if err != nil {
		return identity{}, fmt.Errorf("%w: %w", errToken, err)
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil || time.Now().After(exp.Add(skew)) {
		return identity{}, fmt.Errorf("%w: expired", errToken)
	}
	aud, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(aud, func(a string) bool { return h.isAudience(a, hubName) }) {
		return identity{}, fmt.Errorf("%w: audience", errToken)
	}
	return newIdentity(claims), nil
}

// isAudience says whether aud is a client URL of the hub. This is all that tells
// a client's token from one for the data plane, which has the same key.
func (h *Hub) isAudience(aud, hubName string) bool {
	u, err := url.Parse(aud)
	if err != nil || u.Host == "" || u.Path != "/client" && u.Path != "/client/" {
		return false
	}
	if len(h.cfg.Hosts) > 0 && !slices.ContainsFunc(h.cfg.Hosts, func(host string) bool { return strings.EqualFold(host, u.Hostname()) }) {
		return false
	}
	q, err := readQuery(u.RawQuery)
	return err == nil && strings.EqualFold(q.hub, hubName) && q.hub != ""
}

func newIdentity(claims jwt.MapClaims) identity {
	var id identity
	for _, name := range userIDClaims {
		if id.user = claimText(claims[name]); id.user != "" {
			break
		}
	}
	number := func(name string, low, high int) int {
		n, err := strconv.Atoi(claimText(claims[name]))
		if err != nil {
			return 0
		}
		return min(max(n, low), high)
	}
	id.handshake = number("asrs.s.cht", 1, 30)
	id.gap = number("asrs.s.ttl", 1, 300)
	id.transport = number("asrs.s.htt", 0, 7)
	if strings.EqualFold(claimText(claims["asrs.s.coae"]), "true") {
		id.closeAt, _ = strconv.ParseInt(claimText(claims["asrs.s.aeo"]), 10, 64) // 0 if it is nonsense
	}
	for name, v := range claims {
		if reservedClaims[name] || strings.HasPrefix(name, reservedPrefix) {
			continue
		}
		if id.claims == nil {
			id.claims = map[string]string{}
		}
		id.claims[strings.TrimPrefix(name, userPrefix)] = claimText(v)
	}
	return id
}

// claimText is a claim as a string; several values are joined by commas.
func claimText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.Clone(v) // does not keep the token
	case json.Number:
		return strings.Clone(v.String())
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = claimText(p)
		}
		return strings.Join(parts, ",")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// sign makes an access token for clients of the hub.
func (h *Hub) sign(audience string, c realtime.Claims) (string, error) {
	keys := h.cfg.Keys()
	if len(keys) == 0 {
		return "", errors.New("no access key")
	}
	if c.Lifetime <= 0 {
		c.Lifetime = time.Hour
	}
	now := time.Now()
	claims := jwt.MapClaims{"aud": audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(c.Lifetime).Unix()}
	for _, name := range slices.Sorted(maps.Keys(c.Custom)) {
		v := c.Custom[name]
		if reservedClaims[name] || slices.Contains(userIDClaims, name) || strings.HasPrefix(name, "asrs.") {
			name = userPrefix + name
		}
		claims[name] = v
	}
	if c.User != "" {
		claims[userClaim] = c.User
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(keys[0])
	if err == nil && len(token) > maxToken {
		err = fmt.Errorf("access token of %d bytes is over the limit of %d", len(token), maxToken)
	}
	return token, err
}
