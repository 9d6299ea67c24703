package guard

import (
	"net/http"
	"time"

	"causeway/internal/httpx"
)

// Refusal is the error of what was not admitted.
type Refusal struct {
	Action     Action
	Reason     Reason
	RetryAfter time.Duration // when asking again may help
	Work       string        // a challenge, for Work and Replayed
}

// words are what clients are told: code, status, and a sentence.
var words = [reasons]struct {
	code   string
	status int
	text   string
}{
	Blocked:  {"blocked", http.StatusForbidden, "Your network is blocked here. If you think that is wrong, ask whoever runs this server."},
	Prefix:   {"too_many_requests", http.StatusTooManyRequests, "Too many requests came from your network in a short time. Wait a moment, then try again."},
	Session:  {"too_many_requests", http.StatusTooManyRequests, "This session is used by too many at once. Wait a moment, then try again."},
	Work:     {"work_required", http.StatusTooManyRequests, "Many ask at the moment, so your browser must do a short calculation first. If this does not go on by itself, reload the page."},
	Replayed: {"work_required", http.StatusTooManyRequests, "Many ask at the moment, so your browser must do a short calculation first. If this does not go on by itself, reload the page."},
	Busy:     {"busy", http.StatusServiceUnavailable, "The server is busy. Try again in a moment."},
	RelayOff: {"relay_paused", http.StatusServiceUnavailable, "What this server may spend is nearly used up, so it has no relay for new sessions. A direct connection still works, from the same network for example."},
	Paused:   {"sessions_paused", http.StatusServiceUnavailable, "What this server may spend is nearly used up, so it takes no new sessions for now. What runs goes on. Try again later."},
	Spent:    {"spend_cap", http.StatusServiceUnavailable, "What this server may spend is used up. Try again later."},
	Origin:   {"origin", http.StatusForbidden, "Pages of another site may not use this server. Open its own page."},
}

// Error implements error, for logs.
func (r *Refusal) Error() string { return r.Action.String() + " refused: " + r.Reason.String() }

// Code is the short stable name that clients branch on.
func (r *Refusal) Code() string { return words[r.Reason].code }

// Message is the sentence for people.
func (r *Refusal) Message() string { return words[r.Reason].text }

// HTTP is the refusal as an answer.
func (r *Refusal) HTTP() *httpx.Error {
	w := words[r.Reason]
	return &httpx.Error{Status: w.status, Code: w.code, Message: w.text, RetryAfter: max(r.RetryAfter, time.Second), Work: r.Work, Err: r}
}
