package httpx

import (
	"net/http"
	"strings"
)

// contentSecurityPolicy allows what the pages need and nothing else: their own
// scripts, styles and connections; pictures that they draw (the QR code); and the
// frame through which the service worker hands a download to the browser.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
	"connect-src 'self'; worker-src 'self'; frame-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// SecurityHeaders adds the headers that every response carries. HSTS is sent over
// TLS only, where the server speaks it itself; COOP where the page is a secure
// context, as browsers complain about it elsewhere.
// Pages may connect to the origins in connect besides their own.
func SecurityHeaders(p Proxies, next http.Handler, connect ...string) http.Handler {
	policy := contentSecurityPolicy
	for _, origin := range connect {
		// WebSockets are of another scheme.
		policy = strings.Replace(policy, "connect-src 'self'", "connect-src 'self' "+origin+" "+strings.Replace(origin, "http", "ws", 1), 1)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		if strings.HasPrefix(p.Origin(r), "https:") || IsLoopbackHost(r.Host) {
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
		}
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
