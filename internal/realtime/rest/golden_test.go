package rest_test

import (
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"causeway/internal/realtime/rest"

	"github.com/golang-jwt/jwt/v5"
)

// TestGoldenCallers has whole requests as callers in the wild send them: the token
// with its odd header and claims, the path, the headers and the body.
func TestGoldenCallers(t *testing.T) {
	now := time.Now().Unix()
	for _, c := range []struct {
		name           string
		header, claims map[string]any
		method, target string
		with           []string
		body           string
		status         int
		notes          string
	}{
		{
			name:   ".NET Management SDK, transient, send to group", // no port in the audience, a random kid, its own claims
			header: map[string]any{"kid": "-1927475301"},
			claims: map[string]any{"nameid": "WEB01", "nbf": now, "iat": now, "exp": now + 3600, "aud": "http://localhost/api/hubs/chat/groups/my%20group/:send?api-version=2024-12-01"},
			method: "POST", target: "/api/hubs/chat/groups/my%20group/:send?api-version=2024-12-01&excluded=c1&excluded=c2",
			with: []string{"Content-Type", "application/json; charset=utf-8", "Asrs-User-Agent", "Microsoft.Azure.SignalR.Management/1.30.0", "X-ASRS-Message-Tracing-Id", "8070450532247928832"},
			body: `{"Target":"news","Arguments":[{"Name":"x","At":"2024-01-01T00:00:00Z"}]}`, status: 202,
			notes: `send group my group but c1,c2: news[{"Name":"x","At":"2024-01-01T00:00:00Z"}]`,
		},
		{
			name:   ".NET Management SDK, IsUserInGroup", // GET, though the swagger has HEAD only
			claims: map[string]any{"nameid": "WEB01", "exp": now + 3600, "aud": "http://localhost/api/hubs/chat/users/ann/groups/g?api-version=2024-12-01"},
			method: "GET", target: "/api/hubs/chat/users/ann/groups/g?api-version=2024-12-01", status: 404, notes: "user in g ann",
		},
		{
			name:   ".NET Management SDK with an application and a ttl",
			claims: map[string]any{"exp": now + 3600, "aud": "http://localhost/api/hubs/chat/users/ann/groups/g?application=app&api-version=2024-12-01"},
			method: "PUT", target: "/api/hubs/chat/users/ann/groups/g?application=app&api-version=2024-12-01&ttl=30", status: 200, notes: "add user g ann 30s",
		},
		{
			name:   "Azure Functions output binding",
			claims: map[string]any{"exp": now + 3600, "aud": "http://localhost/api/v1/hubs/chat/users/ann"},
			method: "POST", target: "/api/v1/hubs/chat/users/ann", with: []string{"Content-Type", "application/json"},
			body: `{"target":"newMessage","arguments":["hi"]}`, status: 202, notes: `send user ann: newMessage["hi"]`,
		},
		{
			name:   "JavaScript after the documentation", // jsonwebtoken, bare URL with the port
			header: map[string]any{"typ": "JWT"},
			claims: map[string]any{"iat": now, "exp": now + 3600, "aud": "http://localhost:8888/api/v1/hubs/chat"},
			method: "POST", target: "/api/v1/hubs/chat", with: []string{"Content-Type", "application/json", "User-Agent", "axios/1.7.2"},
			body: `{"target":"newMessage","arguments":[{"sender":"a","text":"b"}]}`, status: 202,
			notes: `send all: newMessage[{"sender":"a","text":"b"}]`,
		},
	} {
		f := populated()
		w := golden(t, f, c.header, c.claims, c.method, c.target, c.body, c.with)
		if got := f.notes(); w.Code != c.status || got != c.notes {
			t.Errorf("%s: %d %s %s", c.name, w.Code, w.Body, got)
		}
	}
}

// golden sends a request with a token of any header and claims.
func golden(t *testing.T, f *fake, header, claims map[string]any, method, target, body string, with []string) *httptest.ResponseRecorder {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims))
	maps.Copy(token.Header, header)
	signed, err := token.SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	h := handler(t, f, func(cfg *rest.HandlerConfig) { cfg.Hosts = []string{"localhost"} })
	r := httptest.NewRequest(method, "http://localhost:8888"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+signed)
	for i := 0; i+1 < len(with); i += 2 {
		r.Header.Set(with[i], with[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
