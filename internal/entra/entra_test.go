package entra

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is a tenant of Entra ID, as an http.RoundTripper.
type issuer struct {
	keys    map[string]*rsa.PrivateKey
	down    bool
	fetches atomic.Int32
	meta    string // issuer in the metadata; empty: the right one
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if i.down {
		return nil, errors.New("it is down")
	}
	var answer any
	switch r.URL.String() {
	case "https://login.microsoftonline.com/tenant/.well-known/openid-configuration":
		i.fetches.Add(1)
		answer = map[string]string{"issuer": cmpOr(i.meta, "https://sts.windows.net/tenant/"), "jwks_uri": "https://login.microsoftonline.com/tenant/discovery/keys"}
	case "https://login.microsoftonline.com/tenant/discovery/keys":
		list := []map[string]string{{"kty": "EC", "kid": "other"}, {"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"}}
		for id, k := range i.keys {
			list = append(list, map[string]string{"kty": "RSA", "kid": id, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())})
		}
		answer = map[string]any{"keys": list}
	default:
		return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
	}
	b, err := json.Marshal(answer)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(b)))}, err
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, key *rsa.PrivateKey, id string, change jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "https://sts.windows.net/tenant/", "aud": "api://upstream", "tid": "tenant", "oid": "signalr",
		"nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for k, v := range change {
		claims[k] = v
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = id
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifier(t *testing.T) {
	key, foreign := newKey(t), newKey(t)
	entra := &issuer{keys: map[string]*rsa.PrivateKey{"k1": key}}
	v, err := NewVerifier(VerifierConfig{Tenant: "tenant", Audiences: []string{"app", "api://upstream"}, Identities: []string{"SIGNALR"}, Transport: entra})
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, key, "k1", nil)
	for range 3 {
		if err := v.Verify(t.Context(), good); err != nil {
			t.Error(err)
		}
	}
	if n := entra.fetches.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if err := v.Verify(t.Context(), sign(t, key, "k1", jwt.MapClaims{"aud": []string{"x", "app"}})); err != nil {
		t.Error(err)
	}
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"aud": "app"}).SignedString(key.N.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "long": strings.Repeat("a", maxToken+1), "no token": "a.b.c",
		"another key":      sign(t, foreign, "k1", nil),
		"unknown key":      sign(t, foreign, "k9", nil),
		"weak key":         sign(t, foreign, "weak", nil),
		"another issuer":   sign(t, key, "k1", jwt.MapClaims{"iss": "https://sts.windows.net/other/"}),
		"version 2 issuer": sign(t, key, "k1", jwt.MapClaims{"iss": "https://login.microsoftonline.com/tenant/v2.0"}),
		"another tenant":   sign(t, key, "k1", jwt.MapClaims{"tid": "other"}),
		"another audience": sign(t, key, "k1", jwt.MapClaims{"aud": "api://other"}),
		"another identity": sign(t, key, "k1", jwt.MapClaims{"oid": "somebody"}),
		"no identity":      sign(t, key, "k1", jwt.MapClaims{"oid": ""}),
		"expired":          sign(t, key, "k1", jwt.MapClaims{"exp": time.Now().Add(-leeway - time.Second).Unix()}),
		"no expiry":        sign(t, key, "k1", jwt.MapClaims{"exp": nil}),
		"not yet":          sign(t, key, "k1", jwt.MapClaims{"nbf": time.Now().Add(leeway + time.Minute).Unix()}),
		"HMAC":             hmac,
		"cut":              good[:len(good)-3],
	} {
		if err := v.Verify(t.Context(), bad); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys roll over; the issuer may be down; and nobody makes us ask it more than once a minute.
func TestKeysAreCached(t *testing.T) {
	first, second := newKey(t), newKey(t)
	synctest.Test(t, func(t *testing.T) {
		entra := &issuer{keys: map[string]*rsa.PrivateKey{"k1": first}, down: true}
		v, err := NewVerifier(VerifierConfig{Tenant: "tenant", Audiences: []string{"api://upstream"}, Transport: entra})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(key *rsa.PrivateKey, id string) error { return v.Verify(t.Context(), sign(t, key, id, nil)) }
		if err := verify(first, "k1"); err == nil || errors.Is(err, ErrToken) {
			t.Errorf("no keys to be had: %v", err)
		}
		entra.down = false
		if err := verify(first, "k1"); err == nil {
			t.Error("it was asked again at once")
		}
		time.Sleep(keysRetry)
		if err := verify(first, "k1"); err != nil {
			t.Error(err)
		}
		entra.keys["k2"] = second
		for range 100 {
			if err := verify(second, "k2"); !errors.Is(err, ErrToken) {
				t.Error(err)
			}
		}
		if n := entra.fetches.Load(); n != 1 {
			t.Errorf("unknown keys led to %d fetches", n)
		}
		time.Sleep(keysRetry)
		if err := verify(second, "k2"); err != nil {
			t.Errorf("after the roll-over: %v", err)
		}
		entra.down = true
		time.Sleep(3 * keysLife)
		if err := verify(first, "k1"); err != nil {
			t.Errorf("while the issuer is down: %v", err)
		}
	})
}

func TestMetadataOfAnotherIssuer(t *testing.T) {
	key := newKey(t)
	entra := &issuer{keys: map[string]*rsa.PrivateKey{"k1": key}, meta: "https://evil.example/"}
	v, err := NewVerifier(VerifierConfig{Tenant: "tenant", Audiences: []string{"api://upstream"}, Transport: entra})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(t.Context(), sign(t, key, "k1", nil)); err == nil {
		t.Error("keys of another issuer were taken")
	}
	if _, err := NewVerifier(VerifierConfig{Tenant: "tenant"}); err == nil {
		t.Error("a verifier without an audience")
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, down, slow := 0, false, time.Duration(0)
		tokens := NewTokens(func(ctx context.Context) (string, time.Time, error) {
			n++
			time.Sleep(slow)
			if down {
				return "", time.Time{}, errors.New("it is down")
			}
			return string(rune('a' + n - 1)), time.Now().Add(time.Hour), nil
		})
		get := func() string {
			t.Helper()
			text, err := tokens.Token(t.Context())
			if err != nil {
				return "error"
			}
			return text
		}
		if first, second := get(), get(); first != "a" || second != "a" || n != 1 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(31 * time.Minute)
		slow = time.Second
		if got := get(); got != "a" {
			t.Errorf("a caller waited for the next one, %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := get(); got != "b" {
			t.Errorf("it was not renewed early: %s", got)
		}
		down, slow = true, 0
		time.Sleep(59 * time.Minute)
		for range 50 {
			if got := get(); got != "b" {
				t.Errorf("while the issuer is down: %s", got)
			}
			synctest.Wait()
		}
		if n > 5 {
			t.Errorf("the issuer that is down was asked %d times", n)
		}
		time.Sleep(time.Minute)
		if got := get(); got != "error" {
			t.Errorf("a token that is over: %s", got)
		}
		down = false
		time.Sleep(fetchPause)
		if got := get(); got == "error" {
			t.Error("it did not come back")
		}
		synctest.Wait()
	})
}

func TestTokensWaitNoLongerThanTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := NewTokens(func(ctx context.Context) (string, time.Time, error) {
			<-ctx.Done()
			return "", time.Time{}, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tokens.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(fetchTimeout)
		synctest.Wait()
	})
}
