package demo

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"causeway/internal/httpx"
	"causeway/internal/realtime"
)

// Names of the claims of a connection.
const (
	claimName = "name" // escaped, see named
	claimAddr = "addr" // public address; may be missing
)

// maxName is how long a name may be, in characters.
const maxName = 64

// path is that of a request to negotiate, which our own application has as well.
const path = "/api/negotiate"

// Handler answers the demo's requests to negotiate, and has next answer all others. They are told
// from our own by the header userId.
func (d *Demo) Handler(next http.Handler) http.Handler {
	negotiate := httpx.Handler(d.cfg.Logger, d.negotiate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			next.ServeHTTP(w, r)
			return
		}
		ours := r.Method == http.MethodPost && r.Header.Values("userId") != nil
		preflight := r.Method == http.MethodOptions && strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Request-Headers")), "userid")
		if !ours && !preflight {
			next.ServeHTTP(w, r)
			return
		}
		d.cors(w, r)
		if preflight {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		negotiate.ServeHTTP(w, r)
	})
}

// cors lets the front ends of Config.Origins read the answer. SignalR's client sends
// credentials, so the origin is named, and headers of its own.
func (d *Demo) cors(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(d.cfg.Origins, origin) && !slices.Contains(d.cfg.Origins, "*") {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "userId, content-type, x-requested-with, x-signalr-user-agent")
		h.Set("Access-Control-Max-Age", "7200")
	}
}

func (d *Demo) negotiate(w http.ResponseWriter, r *http.Request) error {
	if err := d.cfg.Admit(r); err != nil {
		return err
	}
	name, ok := nameOf(r.Header.Get("userId"))
	if !ok {
		d.cfg.Refused("bad_name")
		return &httpx.Error{Status: http.StatusBadRequest, Code: "bad_name", Message: "Enter a name of 1 to 64 characters."}
	}
	claims := map[string]string{claimName: url.QueryEscape(name)}
	if a := d.cfg.ClientAddr(r).Unmap(); a.IsGlobalUnicast() && !a.IsPrivate() {
		claims[claimAddr] = a.String() // in the member's own token
	}
	endpoint, err := d.cfg.Realtime.Negotiate(r.Context(), realtime.Claims{Custom: claims, Origin: d.cfg.Origin(r)})
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, endpoint)
}

// named is what a connection is called. Claims reach functions in one header line in which nothing is escaped, so a
// name with a comma would be cut, or be another claim.
func named(c realtime.Connection) string {
	name, err := url.QueryUnescape(c.Claims[claimName])
	if err != nil {
		return "" // not one of ours
	}
	return name
}

// nameOf makes a name of a header's value. Browsers write it in ISO 8859-1; others in UTF-8.
func nameOf(header string) (string, bool) {
	if !utf8.ValidString(header) {
		runes := make([]rune, len(header))
		for i := range len(header) {
			runes[i] = rune(header[i])
		}
		header = string(runes)
	}
	name := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) { // bidi overrides among them
			return -1
		}
		return r
	}, header))
	return name, name != "" && utf8.RuneCountInString(name) <= maxName
}
