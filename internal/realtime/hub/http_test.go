package hub_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/internal/realtime/hub"

	"github.com/golang-jwt/jwt/v5"
)

// token signs a token as somebody else's code would.
func token(t *testing.T, aud any, extra map[string]any) string {
	t.Helper()
	claims := jwt.MapClaims{"aud": aud, "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range extra {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(keys()[0].Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// do sends a request and returns status, headers and body.
func do(t *testing.T, method, url, token, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

const clientAud = "http://any.host/client/?hub=chat"

func TestNegotiate(t *testing.T) {
	_, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	good := token(t, clientAud, nil)
	type answer struct {
		NegotiateVersion              *int
		ConnectionID, ConnectionToken string
		AvailableTransports           []struct {
			Transport       string
			TransferFormats []string
		}
		UseStatefulReconnect *bool
		Error                string
	}
	for _, tt := range []struct {
		name, path, query string
		check             func(answer) bool
	}{
		{"version 1", "/client/negotiate", "hub=chat&negotiateVersion=1", func(a answer) bool { return *a.NegotiateVersion == 1 && len(a.ConnectionToken) == 22 }},
		{"version 2 is answered as 1", "/client/negotiate", "hub=chat&negotiateVersion=2", func(a answer) bool { return *a.NegotiateVersion == 1 }},
		{"version 0", "/client/negotiate", "hub=chat", func(a answer) bool { return *a.NegotiateVersion == 0 && a.ConnectionToken == "" }},
		{"version twice", "/client/negotiate", "hub=chat&negotiateVersion=1&negotiateVersion=0", func(a answer) bool { return *a.NegotiateVersion == 1 }},
		{"slashes", "//client//negotiate", "hub=chat", func(a answer) bool { return *a.NegotiateVersion == 0 }},
		{"names and hub without case", "/client/negotiate", "HUB=Chat&NegotiateVersion=1", func(a answer) bool { return *a.NegotiateVersion == 1 }},
		{"unknown parameters", "/client/negotiate", "hub=chat&asrs.op=%2Fx&asrs_request_id=a%3D&x", func(a answer) bool { return *a.NegotiateVersion == 0 }},
		{"stateful reconnect", "/client/negotiate", "hub=chat&negotiateVersion=1&useStatefulReconnect=true", func(a answer) bool { return a.UseStatefulReconnect != nil && *a.UseStatefulReconnect }},
		{"no stateful reconnect unasked", "/client/negotiate", "hub=chat&negotiateVersion=1", func(a answer) bool { return a.UseStatefulReconnect == nil }},
	} {
		status, header, body := do(t, "POST", origin+tt.path+"?"+tt.query, good, "")
		var a answer
		if status != 200 || json.Unmarshal([]byte(body), &a) != nil || a.NegotiateVersion == nil || len(a.ConnectionID) != 22 || header.Get("Content-Type") != "application/json" ||
			len(a.AvailableTransports) != 3 || a.AvailableTransports[0].Transport != "WebSockets" || len(a.AvailableTransports[1].TransferFormats) != 1 || !tt.check(a) {
			t.Errorf("%s: %d %s", tt.name, status, body)
		}
	}
	if status, _, body := do(t, "POST", origin+"/client/negotiate?hub=chat&negotiateVersion=x", good, ""); status != 200 || !strings.HasPrefix(body, `{"error":`) {
		t.Errorf("a version that is no number: %d %s", status, body)
	}
	only := token(t, clientAud, map[string]any{"asrs.s.htt": "5"})
	if _, _, body := do(t, "POST", origin+"/client/negotiate?hub=chat", only, ""); strings.Contains(body, "ServerSentEvents") || !strings.Contains(body, "LongPolling") {
		t.Errorf("asrs.s.htt 5: %s", body)
	}
}

func TestRefusals(t *testing.T) {
	_, origin := serve(t, hub.Config{Handlers: chat(funcs{}), Hosts: []string{"any.host"}})
	good := token(t, clientAud, nil)
	for _, tt := range []struct {
		name, method, path, token string
		want                      int
	}{
		{"good", "POST", "/client/negotiate?hub=chat", good, 200},
		{"audience among others, with port and scheme of its own", "POST", "/client/negotiate?hub=chat", token(t, []string{"x", "https://ANY.host:8443/client?hub=CHAT"}, nil), 200},
		{"no token", "POST", "/client/negotiate?hub=chat", "", 401},
		{"bad token", "POST", "/client/negotiate?hub=chat", good + "x", 401},
		{"expired", "POST", "/client/negotiate?hub=chat", token(t, clientAud, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), 401},
		{"no expiry", "POST", "/client/negotiate?hub=chat", token(t, clientAud, map[string]any{"exp": nil}), 401},
		{"no audience", "POST", "/client/negotiate?hub=chat", token(t, nil, map[string]any{"aud": nil}), 401},
		{"audience of another hub", "POST", "/client/negotiate?hub=chat", token(t, "http://any.host/client/?hub=other", nil), 401},
		{"audience of another host", "POST", "/client/negotiate?hub=chat", token(t, "http://other.host/client/?hub=chat", nil), 401},
		{"audience of the data plane", "POST", "/client/negotiate?hub=chat", token(t, "http://any.host/api/hubs/chat", nil), 401},
		{"token for another hub", "POST", "/client/negotiate?hub=other", good, 401},
		{"unknown hub", "POST", "/client/negotiate?hub=other", token(t, "http://any.host/client/?hub=other", nil), 404},
		{"two hubs", "POST", "/client/negotiate?hub=chat&hub=other", good, 400},
		{"no hub", "POST", "/client/negotiate", good, 400},
		{"bad hub", "POST", "/client/negotiate?hub=1", good, 400},
		{"not POST", "GET", "/client/negotiate?hub=chat", good, 405},
		{"method", "PUT", "/client/?hub=chat", good, 405},
		{"no id", "GET", "/client/?hub=chat", good, 400},
		{"no id to post to", "POST", "/client?hub=chat", good, 400},
		{"unknown id", "GET", "/client/?hub=chat&id=x", good, 404},
		{"unknown id to delete", "DELETE", "/client/?hub=chat&id=x", good, 404},
		{"unknown path", "GET", "/client/x?hub=chat", good, 404},
		{"token in the query", "GET", "/client/?hub=chat&id=x&access_token=" + good, "", 404},
		{"long query", "GET", "/client/?hub=chat&x=" + strings.Repeat("x", 13<<10), good, 414},
	} {
		status, header, body := do(t, tt.method, origin+tt.path, tt.token, "", "Origin", "https://page")
		if status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, status, body, tt.want)
		}
		if strings.Contains(tt.path, "/client/x") {
			continue
		}
		if header.Get("Access-Control-Allow-Origin") != "https://page" || header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: headers %v", tt.name, header)
		}
	}
}

func TestAlgorithms(t *testing.T) {
	_, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	claims := jwt.MapClaims{"aud": clientAud, "exp": time.Now().Add(time.Hour).Unix()}
	for _, tt := range []struct {
		name   string
		method jwt.SigningMethod
		key    any
		want   int
	}{
		{"HS512 and the secondary key", jwt.SigningMethodHS512, []byte(keys()[1].Reveal()), 200},
		{"HS384", jwt.SigningMethodHS384, []byte(keys()[0].Reveal()), 401},
		{"none", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, 401},
		{"another key", jwt.SigningMethodHS256, []byte("guess"), 401},
		{"empty key", jwt.SigningMethodHS256, []byte(""), 401},
	} {
		tok := jwt.NewWithClaims(tt.method, claims)
		tok.Header["kid"] = "1234567" // random in .NET
		s, err := tok.SignedString(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := do(t, "POST", origin+"/client/negotiate?hub=chat", s, ""); status != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.want)
		}
	}
}

func TestCORS(t *testing.T) {
	_, origin := serve(t, hub.Config{Handlers: chat(funcs{}), Origins: []string{"https://page"}})
	status, h, _ := do(t, "OPTIONS", origin+"/client/negotiate?hub=chat", "", "", "Origin", "https://page",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-requested-with,x-signalr-user-agent")
	if status != 204 || h.Get("Access-Control-Allow-Origin") != "https://page" || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,x-requested-with,x-signalr-user-agent" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE") || h.Get("Access-Control-Max-Age") == "" {
		t.Errorf("preflight: %d %v", status, h)
	}
	if _, h, _ := do(t, "OPTIONS", origin+"/client/negotiate?hub=chat", "", "", "Origin", "https://other"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin was allowed: %v", h)
	}
	if status, _, _ := do(t, "GET", origin+"/client/?hub=chat", token(t, clientAud, nil), "", "Origin", "https://other", "Upgrade", "websocket", "Connection", "Upgrade"); status != 403 {
		t.Errorf("a WebSocket of another origin: %d", status)
	}
}
