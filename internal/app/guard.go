package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/internal/budget/purse"
	"causeway/internal/config"
	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/signaling"
	"causeway/internal/token"
)

// openGuard makes what admits or refuses. key is the server's; nil where only the realtime
// service runs, whose clients only blocks concern. The ledger, if any, is open.
func (a *App) openGuard(key []byte) (err error) {
	cfg := guardConfig(a.cfg)
	cfg.Registerer = a.ops.Registry
	if a.stats != nil {
		cfg.Refused = func(r guard.Reason) { a.stats.Refused(r.String()) }
	}
	if a.ledger != nil {
		cfg.Purse = purse.Own{Ledger: a.ledger}
		cfg.Relaying = purse.Own{Ledger: a.ledger}.Relaying
	}
	if key != nil {
		if cfg.Key, err = token.Derive(key, "work"); err != nil {
			return err
		}
	}
	if a.guard, err = guard.New(cfg); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// guardConfig is what is configured.
func guardConfig(c config.Config) guard.Config {
	g := c.Guard
	cfg := guard.Config{
		Scale: g.RateLimit, Work: guard.Mode(g.Work), WorkFrom: g.WorkFrom, Block: g.Block,
		RelayAt: g.RelayAt, SessionsAt: g.SessionsAt,
		Prices: guard.Prices{Execution: int64(g.ExecutionPrice), Negotiation: int64(g.NegotiationPrice), Message: int64(g.MessagePrice)},
	}
	if g.RateLimit == 0 {
		cfg.Scale = -1
	}
	return cfg
}

// admitConnect asks the guard about a connection to our own hub. The user of a peer begins with
// its session.
func (a *App) admitConnect(addr netip.Addr, user string) (status int, text string, retryAfter time.Duration) {
	session, _, _ := strings.Cut(user, ".")
	err := a.guard.Admit(guard.Request{Action: guard.Connect, Addr: addr, Session: session})
	var no *guard.Refusal
	if !errors.As(err, &no) {
		return 0, "", 0
	}
	e := no.HTTP()
	return e.Status, e.Code + ": " + e.Message, e.RetryAfter
}

// admitOther asks the guard of the moment about requests of applications whose clients know no proof of work.
func admitOther(by func() *guard.Guard, client func(*http.Request) netip.Addr) func(*http.Request) error {
	return func(r *http.Request) error {
		err := by().Admit(guard.Request{Action: guard.Other, Addr: client(r)})
		var no *guard.Refusal
		if errors.As(err, &no) {
			return no.HTTP()
		}
		return err
	}
}

// unblocked refuses everything that comes from a blocked network. It stands before all that is
// not for operators, whether package front or net/http has read the request.
func (a *App) unblocked(proxies httpx.Proxies, next http.Handler) http.Handler {
	return unblocked(func() *guard.Guard { return a.guard }, proxies.Client, next)
}

// unblocked refuses what comes from a network that the guard of the moment blocks.
func unblocked(by func() *guard.Guard, client func(*http.Request) netip.Addr, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := by(); g.Blocking() {
			var no *guard.Refusal
			if errors.As(g.Allowed(client(r)), &no) {
				httpx.WriteError(w, no.HTTP())
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// corsHeaders are what pages of other origins may send: those of our own pages and of SignalR clients.
const corsHeaders = "authorization, content-type, if-none-match, x-requested-with, x-signalr-user-agent, " + signaling.WorkHeader

// corsAge is how long a browser remembers a preflight's answer.
const corsAge = "7200"

// origins lets pages of our own origin and of the configured ones use the API (CORS), and refuses other
// sites' pages: they could not read the answers, but with the browsers of their visitors they could flood
// from thousands of networks. Programs send no Origin, and are not concerned.
func (a *App) origins(proxies httpx.Proxies, next http.Handler) http.Handler {
	allowed := apiOrigins(a.cfg)
	if a.place.Public != "" {
		allowed = append(allowed, a.place.Public)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		listed := slices.Contains(allowed, origin)
		if listed {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true") // SignalR clients ask for it; there are no cookies
			h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
		}
		switch {
		case r.Method == http.MethodOptions && listed:
			h.Set("Access-Control-Allow-Methods", "POST")
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsAge)
			w.WriteHeader(http.StatusNoContent)
		case listed || ownOrigin(r, origin, proxies):
			next.ServeHTTP(w, r)
		default:
			httpx.WriteError(w, a.guard.Refuse(guard.Other, guard.Origin, time.Hour).HTTP())
		}
	})
}

// ownOrigin says whether a page of our own has sent r. Browsers say so by Sec-Fetch-Site where the page is a secure
// context; elsewhere the host must be the one that was asked, whatever the scheme, as a proxy
// may speak TLS.
func ownOrigin(r *http.Request, origin string, proxies httpx.Proxies) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	_, host, _ := strings.Cut(origin, "://")
	_, own, _ := strings.Cut(proxies.Origin(r), "://")
	return host != "" && (strings.EqualFold(host, own) || strings.EqualFold(host, r.Host))
}

// hintProxy says once that a proxy seems to stand before the server that is not trusted: then
// everybody seems to come from there, and shares its limits.
func hintProxy(log *slog.Logger, proxies httpx.Proxies) func(*http.Request) netip.Addr {
	var once sync.Once
	return func(r *http.Request) netip.Addr {
		addr := proxies.Client(r)
		if (addr.IsLoopback() || addr.IsPrivate()) && r.Header.Get("X-Forwarded-For") != "" && addr == httpx.Peer(r) {
			once.Do(func() {
				log.Warn("requests carry X-Forwarded-For and come from this machine or network: if a proxy of yours stands before, name it by trusted_proxy, or all its clients share one limit")
			})
		}
		return addr
	}
}
