package hub

import (
	"net/http"
	"slices"
)

// cors writes the CORS headers (§1.7), and answers preflights, which come before
// authentication. Clients send credentials, so the answer names their origin and
// is on errors, too.
func (h *Hub) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	origin := r.Header.Get("Origin")
	hd := w.Header()
	if origin != "" {
		hd.Add("Vary", "Origin")
		if len(h.cfg.Origins) == 0 || slices.Contains(h.cfg.Origins, origin) {
			hd.Set("Access-Control-Allow-Origin", origin)
			hd.Set("Access-Control-Allow-Credentials", "true")
		} else if r.Method != http.MethodOptions && r.Header.Get("Upgrade") != "" {
			// Browsers leave it to the server to refuse WebSockets of other origins.
			http.Error(w, "origin not allowed", http.StatusForbidden)
			return true
		}
	}
	if r.Method != http.MethodOptions {
		return false
	}
	if v := r.Header.Get("Access-Control-Request-Method"); v != "" {
		hd.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	}
	if v := r.Header.Get("Access-Control-Request-Headers"); v != "" {
		hd.Set("Access-Control-Allow-Headers", v)
	}
	hd.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return true
}
