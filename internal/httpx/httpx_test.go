package httpx

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestHandlerErrors(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		status int
		body   string
		logged bool
	}{
		{"none", nil, 200, "", false},
		{"ours", &Error{Status: 404, Code: "unknown_link", Message: "No such link."}, 404, `{"code":"unknown_link","message":"No such link."}`, false},
		{"wrapped", errors.Join(&Error{Status: 410, Code: "x", Message: "y", Err: errors.New("secret")}), 410, `{"code":"x","message":"y"}`, false},
		{"foreign", errors.New("secret"), 500, `{"code":"internal","message":"Something went wrong on the server. Try again in a moment."}`, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			w := httptest.NewRecorder()
			Handler(slog.New(slog.NewTextHandler(&log, nil)), func(http.ResponseWriter, *http.Request) error { return c.err }).
				ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.body)
			}
			if (log.Len() > 0) != c.logged {
				t.Errorf("log: %q", log.String())
			}
		})
	}
}

func TestRetryAfterRoundsUp(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, &Error{Status: 429, Code: "too_many_requests", RetryAfter: 1500 * time.Millisecond})
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After: %q, want 2", got)
	}
}

func TestReadJSON(t *testing.T) {
	cases := []struct {
		name, contentType, body string
		status                  int // 0: accepted
	}{
		{"object", "application/json", `{"a":1}`, 0},
		{"charset", "application/json; charset=utf-8", `{"a":1}`, 0},
		{"no type", "", `{"a":1}`, 0},
		{"form", "application/x-www-form-urlencoded", `{"a":1}`, 415},
		{"empty", "application/json", ``, 400},
		{"cut", "application/json", `{"a":`, 400},
		{"wrong type", "application/json", `{"a":"x"}`, 400},
		{"trailing", "application/json", `{"a":1}{}`, 400},
		{"too large", "application/json", `{"a":` + strings.Repeat(" ", 100) + `1}`, 413},
		{"too large after the value", "application/json", `{"a":1}` + strings.Repeat(" ", 100), 413},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			var v struct{ A int }
			err := ReadJSON(httptest.NewRecorder(), r, 64, &v)
			var e *Error
			switch {
			case c.status == 0 && (err != nil || v.A != 1):
				t.Errorf("%v, value %+v", err, v)
			case c.status != 0 && (!errors.As(err, &e) || e.Status != c.status):
				t.Errorf("got %v, want status %d", err, c.status)
			}
		})
	}
}

func TestClientAndOrigin(t *testing.T) {
	trusted := Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	cases := []struct {
		name    string
		p       Proxies
		remote  string
		headers map[string]string
		client  string
		origin  string
	}{
		{"direct", trusted, "192.0.2.7:99", nil, "192.0.2.7", "http://h:1"},
		{"forged, nobody trusted", Proxies{}, "10.1.1.1:9", map[string]string{"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Host": "evil", "X-Forwarded-Proto": "https"}, "10.1.1.1", "http://h:1"},
		{"forged from outside", trusted, "192.0.2.7:99", map[string]string{"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https"}, "192.0.2.7", "http://h:1"},
		{"proxied", trusted, "10.1.1.1:9", map[string]string{"X-Forwarded-For": "198.51.100.3", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "send.example"}, "198.51.100.3", "https://send.example"},
		{"forged before a proxy", trusted, "10.1.1.1:9", map[string]string{"X-Forwarded-For": "1.1.1.1, 198.51.100.3"}, "198.51.100.3", "http://h:1"},
		{"two proxies", trusted, "[::1]:9", map[string]string{"X-Forwarded-For": "1.1.1.1, 198.51.100.3, 10.2.2.2"}, "198.51.100.3", "http://h:1"},
		{"v4-mapped", trusted, "[::ffff:10.1.1.1]:9", map[string]string{"X-Forwarded-For": "[2001:db8::1]:443"}, "2001:db8::1", "http://h:1"},
		{"garbage", trusted, "10.1.1.1:9", map[string]string{"X-Forwarded-For": "unknown", "X-Forwarded-Host": "a b", "X-Forwarded-Proto": "ftp"}, "10.1.1.1", "http://h:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://h:1/", nil)
			r.RemoteAddr = c.remote
			for k, v := range c.headers {
				r.Header.Set(k, v)
			}
			if got := c.p.Client(r); got != netip.MustParseAddr(c.client) {
				t.Errorf("client %v, want %v", got, c.client)
			}
			if got := c.p.Origin(r); got != c.origin {
				t.Errorf("origin %q, want %q", got, c.origin)
			}
		})
	}
}

func TestOriginOverTLS(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.TLS = "h", &tls.ConnectionState{}
	if got := (Proxies{}).Origin(r); got != "https://h" {
		t.Errorf("got %q", got)
	}
}

func TestIsLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:80": true, "a.localhost": true, "127.0.0.1:8080": true, "[::1]:80": true, "::1": true, "127.9.9.9": true,
		"192.168.1.2:80": false, "example.com": false, "localhost.example.com": false, "0.0.0.0:80": false, "": false,
	} {
		if got := IsLoopbackHost(host); got != want {
			t.Errorf("IsLoopbackHost(%q) = %v", host, got)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	SecurityHeaders(Proxies{}, http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Strict-Transport-Security": ""} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for url, want := range map[string]string{"http://localhost:1/": "same-origin", "http://192.0.2.1/": "", "https://a.example/": "same-origin"} {
		w := httptest.NewRecorder()
		SecurityHeaders(Proxies{}, http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		if got := w.Header().Get("Cross-Origin-Opener-Policy"); got != want {
			t.Errorf("%s: COOP %q, want %q", url, got, want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy: %s", csp)
	}
}
