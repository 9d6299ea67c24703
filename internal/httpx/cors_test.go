package httpx

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Listed origins may read answers and ask before they send; others get answers that browsers keep from them.
func TestCORS(t *testing.T) {
	h := CORS([]string{"https://app.example"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	for name, c := range map[string]struct {
		method, origin, asks string
		status               int
		allowed              string
	}{
		"a listed page":            {"POST", "https://app.example", "", http.StatusTeapot, "https://app.example"},
		"its preflight":            {"OPTIONS", "https://app.example", "POST", http.StatusNoContent, "https://app.example"},
		"no preflight":             {"OPTIONS", "https://app.example", "", http.StatusTeapot, "https://app.example"},
		"another page":             {"POST", "https://evil.example", "", http.StatusTeapot, ""},
		"another page's preflight": {"OPTIONS", "https://evil.example", "POST", http.StatusTeapot, ""},
		"part of a listed one":     {"POST", "https://app.example.evil.example", "", http.StatusTeapot, ""},
		"no page":                  {"POST", "", "", http.StatusTeapot, ""},
	} {
		r := httptest.NewRequest(c.method, "/api/sessions", nil)
		for header, value := range map[string]string{"Origin": c.origin, "Access-Control-Request-Method": c.asks} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header()
		if w.Code != c.status || got.Get("Access-Control-Allow-Origin") != c.allowed || got.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", name, w.Code, got)
		}
		if c.allowed != "" && got.Get("Access-Control-Expose-Headers") != "ETag, Retry-After" {
			t.Errorf("%s: pages can't read when to come back, or what they have: %v", name, got)
		}
	}
}
