// Package admin is what an operator sees and does on the page /admin: what goes on now, what was
// spent of which budget, what was refused and why; and two levers, to block an address prefix and
// to end a session. It is there only with a token.
//
//	GET    /api/admin            the Overview
//	POST   /api/admin/blocks     {"prefix","hours"}; 0 hours: for good
//	DELETE /api/admin/blocks     {"prefix"}
//	POST   /api/admin/end        {"session"}
//
// All need "Authorization: Bearer <token>". The numbers are those of /metrics, read from
// the registry, so that the page and a dashboard can't disagree. Sessions are shown by the
// random id that the server gave them: nothing here is about a person.
//
// Bounds: Failures wrong tokens a minute from everybody together, then all are refused until the
// minute is over, right ones too, so that guessing is slow whoever does it; Shown sessions in an
// answer, those that relayed most.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"causeway/internal/httpx"
	"causeway/internal/secret"
)

// Limits of the package comment.
const (
	Failures = 20
	Shown    = 200

	maxBody  = 4 << 10
	maxHours = 24 * 366
	minToken = 16 // characters
)

// Config is what New needs. All but Logger are required.
type Config struct {
	Token    secret.Value
	Metrics  prometheus.Gatherer
	Sessions Sessions
	Blocks   Blocks
	// Budgets returns the accounts of all, the day's first.
	Budgets func() []Account
	Version string
	Logger  *slog.Logger
}

// Session is one session as an operator sees it.
type Session struct {
	ID          string `json:"id"`
	Members     int    `json:"members"` // present, or expected back
	Connections int    `json:"connections"`
	Pairs       int    `json:"pairs"`   // that may use a relay
	Relayed     int64  `json:"relayed"` // bytes
	Cap         int64  `json:"cap"`     // bytes; 0: not known
}

// Sessions is who knows the sessions of this process.
type Sessions interface {
	// List returns all sessions with a member.
	List() []Session
	// End closes a session's connections, takes its relays back, and lets nobody in again. It says
	// whether there was such a session.
	End(ctx context.Context, id string) (bool, error)
}

// Block is a blocked prefix.
type Block struct {
	Prefix netip.Prefix `json:"prefix"`
	Until  *time.Time   `json:"until"` // nil: for good
}

// Blocks is who refuses addresses.
type Blocks interface {
	Block(p netip.Prefix, until time.Time) error // zero: for good
	Unblock(p netip.Prefix) bool
	List() []Block
}

// Account is a budget: Cap − Left is what is spent and leased. Money is in units of the currency;
// a MoneyCap of 0 is none.
type Account struct {
	Name     string  `json:"name"`
	Cap      int64   `json:"cap"` // bytes
	Left     int64   `json:"left"`
	Spent    int64   `json:"spent"`
	Leased   int64   `json:"leased"`
	MoneyCap float64 `json:"moneyCap"`
	Money    float64 `json:"money"`
}

// Admin answers under /api/admin.
type Admin struct {
	cfg      Config
	token    [sha256.Size]byte
	failures *rate.Limiter
}

// New checks cfg.
func New(cfg Config) (*Admin, error) {
	if cfg.Metrics == nil || cfg.Sessions == nil || cfg.Blocks == nil || cfg.Budgets == nil {
		return nil, errors.New("admin: incomplete configuration")
	}
	token := strings.TrimSpace(cfg.Token.Reveal())
	if len(token) < minToken {
		return nil, errors.New("admin_token: it is shorter than 16 characters; make one with: openssl rand -base64 24")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Admin{cfg: cfg, token: sha256.Sum256([]byte(token)), failures: rate.NewLimiter(rate.Every(time.Minute/Failures), Failures)}, nil
}

// Routes adds the requests of the package comment to mux.
func (a *Admin) Routes(mux *http.ServeMux) {
	for pattern, f := range map[string]httpx.HandlerFunc{
		"GET /api/admin":           a.overview,
		"POST /api/admin/blocks":   a.block,
		"DELETE /api/admin/blocks": a.unblock,
		"POST /api/admin/end":      a.end,
	} {
		mux.Handle(pattern, httpx.Handler(a.cfg.Logger, func(w http.ResponseWriter, r *http.Request) error {
			if err := a.authorize(r); err != nil {
				return err
			}
			return f(w, r)
		}))
	}
}

// authorize compares digests, so that time tells nothing about the token.
func (a *Admin) authorize(r *http.Request) error {
	if a.failures.Tokens() < 1 {
		return &httpx.Error{Status: http.StatusTooManyRequests, Code: "too_many_requests", Message: "There were too many wrong tokens. Wait a minute.", RetryAfter: time.Minute}
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(strings.TrimSpace(text)))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], a.token[:]) == 1 {
		return nil
	}
	a.failures.Allow()
	return &httpx.Error{Status: http.StatusUnauthorized, Code: "bad_token", Message: "This is not the operator's token."}
}

// prefixRequest names a prefix; a single address is one, too.
type prefixRequest struct {
	Prefix string  `json:"prefix"`
	Hours  float64 `json:"hours"`
}

// readPrefix refuses what would shut out everybody.
func readPrefix(w http.ResponseWriter, r *http.Request) (p netip.Prefix, hours float64, err error) {
	var req prefixRequest
	if err := httpx.ReadJSON(w, r, maxBody, &req); err != nil {
		return p, 0, err
	}
	text := strings.TrimSpace(req.Prefix)
	if p, err = netip.ParsePrefix(text); err != nil {
		var one netip.Addr
		if one, err = netip.ParseAddr(text); err == nil {
			p, err = one.WithZone("").Prefix(one.BitLen())
		}
	}
	if err != nil || !p.IsValid() {
		return p, 0, &httpx.Error{Status: http.StatusBadRequest, Code: "bad_prefix", Message: "This is not an address or a prefix such as 192.0.2.0/24.", Err: err}
	}
	if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 {
		return p, 0, &httpx.Error{Status: http.StatusBadRequest, Code: "bad_prefix", Message: "This prefix is too wide: at most an IPv4 /8 or an IPv6 /16."}
	}
	if req.Hours < 0 || req.Hours > maxHours {
		return p, 0, &httpx.Error{Status: http.StatusBadRequest, Code: "bad_hours", Message: "The hours are 0, for good, to 8784."}
	}
	return p, req.Hours, nil
}

func (a *Admin) block(w http.ResponseWriter, r *http.Request) error {
	p, hours, err := readPrefix(w, r)
	if err != nil {
		return err
	}
	var until time.Time
	if hours > 0 {
		until = time.Now().Add(time.Duration(hours * float64(time.Hour)))
	}
	if err := a.cfg.Blocks.Block(p, until); err != nil {
		return &httpx.Error{Status: http.StatusConflict, Code: "not_blocked", Message: "It could not be blocked: there may be too many blocks.", Err: err}
	}
	a.cfg.Logger.InfoContext(r.Context(), "an address prefix is blocked", "hours", hours)
	return httpx.WriteJSON(w, http.StatusOK, a.cfg.Blocks.List())
}

func (a *Admin) unblock(w http.ResponseWriter, r *http.Request) error {
	p, _, err := readPrefix(w, r)
	if err != nil {
		return err
	}
	if !a.cfg.Blocks.Unblock(p) {
		return &httpx.Error{Status: http.StatusNotFound, Code: "not_blocked", Message: "This prefix is not blocked."}
	}
	a.cfg.Logger.InfoContext(r.Context(), "a block has ended")
	return httpx.WriteJSON(w, http.StatusOK, a.cfg.Blocks.List())
}

func (a *Admin) end(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Session string `json:"session"`
	}
	if err := httpx.ReadJSON(w, r, maxBody, &req); err != nil {
		return err
	}
	found, err := a.cfg.Sessions.End(r.Context(), req.Session)
	if err != nil {
		return err
	}
	if !found {
		return &httpx.Error{Status: http.StatusNotFound, Code: "unknown_session", Message: "There is no such session (any more)."}
	}
	a.cfg.Logger.InfoContext(r.Context(), "a session was ended")
	return httpx.WriteJSON(w, http.StatusOK, struct{}{})
}
