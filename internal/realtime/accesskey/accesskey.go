// Package accesskey is about the one secret that a SignalR application shares
// with its service: the access key. It parses and prints connection strings
// (spec §1.6), signs the tokens that clients and the application show, and
// verifies them (spec §1.5, §4.2).
//
// Both kinds of token are JWTs by the same key, and only their audience tells
// them apart: {endpoint}/client/?hub={hub} for a client, the request's URL for
// the data plane. So [Verifier] has one method for each, neither accepts a token
// of the other kind, and neither works without an audience and an expiry.
// Paths are compared strictly, segment by segment, after decoding; scheme, port
// and query are ignored, as official SDKs write them differently from
// hand-written servers; and the host is compared with a list.
//
// Keys come from a function and are asked for at each use, so that a rotation
// needs no restart: first the new key is added, then the old one removed.
package accesskey

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/secret"

	"github.com/golang-jwt/jwt/v5"
)

// MaxToken is the length of the longest token that anybody signs or accepts.
const MaxToken = 4096

// DefaultLifetime is that of a client's token.
const DefaultLifetime = time.Hour

// restLifetime is that of a token for one data plane request; the request may
// wait for its connection, and clocks differ.
const restLifetime = 5 * time.Minute

// skew between clocks that is tolerated for a token's begin; the official
// service does not look at it at all. Its end is exact.
const skew = 5 * time.Minute

const (
	userPrefix = "asrs.u."
	userClaim  = "asrs.s.uid"
	// NameIdentifier is the claim type under which .NET shows a user's id.
	NameIdentifier = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
)

// ErrToken says that a token is refused. The errors of Verifier wrap it and say
// why, without any part of the token.
var ErrToken = errors.New("token refused")

// ErrTokenTooLong says that a token would exceed MaxToken.
var ErrTokenTooLong = fmt.Errorf("the token would exceed %d bytes: too many claims", MaxToken)

// Keys are the valid access keys, the primary first. Called at each use.
type Keys func() []secret.Value

// isReserved says whether a claim's name means something to JWT or SignalR.
func isReserved(name string) bool {
	switch name {
	case "aud", "exp", "iat", "nbf", "iss", "actort", "acr", "azp", "c_hash", "jti", "nonce", "nameid", "sub", NameIdentifier:
		return true
	}
	return strings.HasPrefix(name, "asrs.")
}

// SignClient signs the token with which a client connects to hub at endpoint
// (scheme://host). The user travels in asrs.s.uid; custom claims with a reserved
// name travel behind asrs.u.
func SignClient(key secret.Value, endpoint, hub string, c realtime.Claims) (string, error) {
	return SignClientAs(key, "", endpoint, hub, c)
}

// SignClientAs is SignClient with a key that the service knows by its id.
func SignClientAs(key secret.Value, id, endpoint, hub string, c realtime.Claims) (string, error) {
	lifetime := c.Lifetime
	if lifetime <= 0 {
		lifetime = DefaultLifetime
	}
	claims := jwt.MapClaims{}
	for name, value := range c.Custom {
		if isReserved(name) {
			name = userPrefix + name
		}
		claims[name] = value
	}
	if c.User != "" {
		claims[userClaim] = c.User
	}
	return sign(key, id, ClientAudience(endpoint, hub), lifetime, claims)
}

// ClientAudience is the audience of a client's token, which is also the URL
// (without the port, as the official SDK has it, see spec §1.5).
func ClientAudience(endpoint, hub string) string {
	return withoutPort(endpoint) + "/client/?hub=" + url.QueryEscape(strings.ToLower(hub))
}

// SignREST signs the token for one data plane request to rawURL; its query and
// port are left out of the audience.
func SignREST(key secret.Value, rawURL string) (string, error) {
	audience, _, _ := strings.Cut(rawURL, "?")
	return sign(key, "", withoutPort(audience), restLifetime, jwt.MapClaims{})
}

func withoutPort(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Port() == "" {
		return rawURL
	}
	return strings.Replace(rawURL, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
}

func sign(key secret.Value, id, audience string, lifetime time.Duration, claims jwt.MapClaims) (string, error) {
	if key.IsZero() {
		return "", errors.New("sign a token: there is no access key")
	}
	now := time.Now()
	claims["aud"] = audience
	claims["iat"] = now.Unix()
	claims["nbf"] = now.Unix()
	claims["exp"] = now.Add(lifetime).Unix()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	if id != "" {
		unsigned.Header["kid"] = id
	}
	token, err := unsigned.SignedString([]byte(key.Reveal()))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(token) > MaxToken {
		return "", ErrTokenTooLong
	}
	return token, nil
}

// Verifier verifies tokens. Its fields are not changed after first use.
type Verifier struct {
	Keys Keys
	// Hosts that an audience may name, without ports. Empty accepts every host.
	Hosts []string
}

// Client is what a client's token says.
type Client struct {
	User    string
	Custom  map[string]string // claims of the application, names as given to SignClient
	Expires time.Time
	All     map[string]any // every claim under its name on the wire
}

// Client verifies a client's token for hub.
func (v Verifier) Client(token, hub string) (Client, error) {
	claims, err := v.verify(token, func(audience *url.URL) bool {
		return strings.TrimSuffix(audience.Path, "/") == "/client" && hubOf(audience) == strings.ToLower(hub)
	})
	if err != nil {
		return Client{}, err
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return Client{}, fmt.Errorf("%w: no expiry", ErrToken)
	}
	return Client{User: userOf(claims), Custom: customOf(claims), Expires: expires.Time, All: claims}, nil
}

// REST verifies a token for a data plane request whose URL has the given path,
// in the escaped form of the wire.
func (v Verifier) REST(token, escapedPath string) error {
	_, err := v.verify(token, func(audience *url.URL) bool {
		return strings.HasPrefix(audience.Path, "/api/") && samePath(audience.EscapedPath(), escapedPath)
	})
	return err
}

// hubOf is the hub that a client's audience names; empty if none or several.
func hubOf(audience *url.URL) string {
	query, err := url.ParseQuery(audience.RawQuery)
	if err != nil {
		return ""
	}
	found := ""
	for name, values := range query {
		if !strings.EqualFold(name, "hub") {
			continue
		}
		if found != "" || len(values) != 1 {
			return ""
		}
		found = strings.ToLower(values[0])
	}
	return found
}

// samePath compares two escaped paths segment by segment after decoding, so
// that an encoded slash never equals a slash. One slash at the end is ignored,
// and so is the case of the hub's name, which follows "hubs".
func samePath(a, b string) bool {
	as, bs := strings.Split(strings.TrimSuffix(a, "/"), "/"), strings.Split(strings.TrimSuffix(b, "/"), "/")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		x, errX := url.PathUnescape(as[i])
		y, errY := url.PathUnescape(bs[i])
		if errX != nil || errY != nil {
			return false
		}
		isHub := i > 0 && as[i-1] == "hubs" && (i == 3 || i == 4) // /api/hubs/{hub}, /api/v1/hubs/{hub}
		if x != y && (!isHub || !strings.EqualFold(x, y)) {
			return false
		}
	}
	return true
}

// verify checks form, signature by any key, expiry, and that one audience has
// an allowed host and satisfies match. The key id in the header is random in
// official SDKs and is ignored.
func (v Verifier) verify(token string, match func(*url.URL) bool) (jwt.MapClaims, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("%w: too long", ErrToken)
	}
	var set jwt.VerificationKeySet
	for _, k := range v.Keys() {
		if !k.IsZero() { // anybody could sign with an empty key
			set.Keys = append(set.Keys, []byte(k.Reveal()))
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("%w: no key is configured", ErrToken)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256", "HS512"}), jwt.WithExpirationRequired(), jwt.WithLeeway(skew), jwt.WithJSONNumber())
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return set, nil })
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrToken, reason(err))
	}
	if expires, err := claims.GetExpirationTime(); err != nil || expires == nil || !time.Now().Before(expires.Time) {
		return nil, fmt.Errorf("%w: expired", ErrToken)
	}
	audiences, err := claims.GetAudience()
	if err != nil || len(audiences) == 0 {
		return nil, fmt.Errorf("%w: no audience", ErrToken)
	}
	for _, a := range audiences {
		u, err := url.Parse(a)
		if err == nil && u.Host != "" && v.hostAllowed(u.Hostname()) && match(u) {
			return claims, nil
		}
	}
	return nil, fmt.Errorf("%w: the audience is another", ErrToken)
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
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "no expiry"
	}
	return "bad signature"
}

func (v Verifier) hostAllowed(host string) bool {
	return len(v.Hosts) == 0 || slices.ContainsFunc(v.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// userOf is the user id of a client's token (spec §1.5).
func userOf(claims jwt.MapClaims) string {
	for _, name := range []string{userClaim, "nameid", NameIdentifier, "sub"} {
		if s, ok := claims[name].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// customOf is the application's part of the claims. What is no string comes as
// its JSON.
func customOf(claims jwt.MapClaims) map[string]string {
	custom := map[string]string{}
	for name, value := range claims {
		given, escaped := strings.CutPrefix(name, userPrefix)
		if !escaped && isReserved(name) {
			continue
		}
		if s, ok := value.(string); ok {
			custom[given] = s
		} else if b, err := json.Marshal(value); err == nil {
			custom[given] = string(b)
		}
	}
	return custom
}
