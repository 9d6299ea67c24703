package rest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
)

// upstream is a configured upstream with its state.
type upstream struct {
	index    int
	template Template
	target   target
	*upstreamState
}

// upstreamState outlives a reload that does not change the template.
type upstreamState struct {
	limiter limiter
	breaker breaker
	log     logGate
}

func newUpstream(cfg WebhookConfig, index int, t Template, compiled target, old []*upstream) *upstream {
	u := &upstream{index: index, template: t, target: compiled}
	for _, o := range old {
		if o.template == t {
			u.upstreamState = o.upstreamState
			return u
		}
	}
	u.upstreamState = &upstreamState{
		limiter: limiter{slots: make(chan struct{}, cfg.Concurrency), queue: int64(cfg.Queue)},
		breaker: breaker{threshold: cfg.BreakerFailures, cooldown: cfg.BreakerCooldown},
	}
	return u
}

// event is what an upstream is told.
type event struct {
	conn           realtime.Connection
	category, name string
	kind           string // content type
	body           []byte
	// wantsResult says that the response's body matters; check then turns it into
	// a framed completion, nil for void, and says whether it is one.
	wantsResult bool
	check       func(body []byte) (completion []byte, ok bool)
}

// deliver calls the upstream of an event, with retries if there are any, and
// accounts for the outcome.
func (w *Webhook) deliver(ctx context.Context, e event) ([]byte, *failure) {
	u := w.match(e.conn.Hub, e.category, e.name)
	if u == nil {
		w.metrics.outcome(e.category, reasonUnmatched)
		return nil, &failure{reason: reasonUnmatched, status: http.StatusNotFound}
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	var body []byte
	var fail *failure
	attempts := 0
	for {
		attempts++
		body, fail = w.attempt(ctx, u, e)
		if fail == nil || attempts > w.cfg.Retries || !fail.retryable(e.category) || !w.backOff(ctx, attempts) {
			break
		}
		w.metrics.retries.Inc()
	}
	w.account(u, e, fail, attempts, time.Since(begin))
	return body, fail
}

// maxRetryDelay bounds the back-off.
const maxRetryDelay = 10 * time.Second

// backOff waits before a retry: twice as long each time, of which a random part,
// so that many connections do not come back as one.
func (w *Webhook) backOff(ctx context.Context, attempt int) bool {
	delay := min(w.cfg.RetryDelay<<min(attempt-1, 16), maxRetryDelay)
	timer := time.NewTimer(delay/2 + rand.N(delay/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt makes one request, under the upstream's limits.
func (w *Webhook) attempt(ctx context.Context, u *upstream, e event) ([]byte, *failure) {
	request, fail := w.request(ctx, u, e)
	if fail != nil {
		return nil, fail
	}
	if u.breaker.blocked() {
		return nil, &failure{reason: reasonBreakerOpen, status: http.StatusServiceUnavailable}
	}
	switch err := u.limiter.acquire(ctx); {
	case errors.Is(err, errQueueFull):
		return nil, &failure{reason: reasonQueueFull, status: http.StatusServiceUnavailable}
	case errors.Is(err, context.Canceled):
		return nil, &failure{reason: reasonCanceled, status: http.StatusInternalServerError}
	case err != nil:
		return nil, &failure{reason: reasonQueueTimeout, status: http.StatusServiceUnavailable}
	}
	defer u.limiter.release()
	if !u.breaker.allow() { // it may have opened while we waited
		return nil, &failure{reason: reasonBreakerOpen, status: http.StatusServiceUnavailable}
	}
	body, fail := w.roundTrip(ctx, request, e)
	if fail != nil && fail.reason == reasonCanceled {
		u.breaker.abandon()
		return nil, fail
	}
	opened, closed := u.breaker.record(fail == nil || !fail.broken())
	if opened {
		w.metrics.opened.Inc()
		w.cfg.Logger.Warn("upstream breaker opened", slog.Int("upstream", u.index), slog.String("reason", string(fail.reason)), slog.Duration("for", w.cfg.BreakerCooldown))
	}
	if closed {
		w.cfg.Logger.Info("upstream breaker closed", slog.Int("upstream", u.index))
	}
	return body, fail
}

// request builds the request of spec §5.2.
func (w *Webhook) request(ctx context.Context, u *upstream, e event) (*http.Request, *failure) {
	address, err := u.target.url(e.conn.Hub, e.category, e.name)
	if err != nil {
		return nil, &failure{reason: reasonBadEvent, status: http.StatusBadRequest}
	}
	header, ok := w.header(e)
	if !ok {
		return nil, &failure{reason: reasonBadHeader, status: http.StatusBadRequest}
	}
	if u.template.Resource != "" {
		token, err := w.cfg.Identity(ctx, u.template.Resource)
		if err != nil {
			return nil, &failure{reason: reasonIdentity, status: http.StatusInternalServerError}
		}
		header["Authorization"] = []string{"Bearer " + token.Reveal()}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(e.body))
	if err != nil {
		return nil, &failure{reason: reasonBadEvent, status: http.StatusBadRequest}
	}
	request.Header = header
	return request, nil
}

// header builds the headers, with their names as Azure writes them. ok is false
// if a value cannot be one.
func (w *Webhook) header(e event) (header http.Header, ok bool) {
	header = http.Header{
		"Content-Type":         {e.kind},
		"X-ASRS-Connection-Id": {e.conn.ID},
		"X-ASRS-Hub":           {e.conn.Hub},
		"X-ASRS-Category":      {e.category},
		"X-ASRS-Event":         {e.name},
		"X-ASRS-Signature":     {w.signature(e.conn.ID)},
	}
	if e.conn.User != "" {
		header["X-ASRS-User-Id"] = []string{e.conn.User}
	}
	if claims := claimsLine(e.conn); claims != "" {
		header["X-ASRS-User-Claims"] = []string{claims}
	}
	if e.conn.Query != "" {
		header["X-ASRS-Client-Query"] = []string{e.conn.Query}
	}
	for _, values := range header {
		if strings.ContainsFunc(values[0], func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return nil, false
		}
	}
	return header, true
}

// signature proves that the caller has a key: HMAC-SHA256 of the connection's id
// by each, joined by a comma and nothing else, since Functions does not trim.
func (w *Webhook) signature(connectionID string) string {
	var all []string
	for _, key := range w.cfg.Keys() {
		if key.IsZero() {
			continue
		}
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		mac.Write([]byte(connectionID))
		all = append(all, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, ",")
}

// claimsLine is "type: value, type: value" in one line, since Functions reads only
// the first.
func claimsLine(c realtime.Connection) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Claims)) {
		all = append(all, name+": "+c.Claims[name])
	}
	if _, has := c.Claims[accesskey.NameIdentifier]; !has && c.User != "" {
		all = append(all, accesskey.NameIdentifier+": "+c.User)
	}
	return strings.Join(all, ", ")
}

// maxDrain is how much of a body that nobody wants is read to keep a connection.
const maxDrain = 64 << 10

func (w *Webhook) roundTrip(ctx context.Context, request *http.Request, e event) ([]byte, *failure) {
	w.metrics.inFlight.Inc()
	defer w.metrics.inFlight.Dec()
	response, err := w.client.Do(request)
	if err != nil {
		return nil, ofError(ctx, redact(err))
	}
	defer func() { _ = response.Body.Close() }()
	fail := ofStatus(response.StatusCode)
	if fail != nil || !e.wantsResult || response.StatusCode == http.StatusNoContent {
		_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
		return nil, fail
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, w.cfg.MaxResponse+1))
	if err != nil {
		return nil, ofError(ctx, err)
	}
	if int64(len(body)) > w.cfg.MaxResponse {
		return nil, &failure{reason: reasonTooLarge, status: response.StatusCode}
	}
	completion, ok := e.check(body)
	if !ok {
		return nil, &failure{reason: reasonBadResponse, status: response.StatusCode}
	}
	return completion, nil
}

// redact takes the URL, which may hold secrets, off an error of the HTTP client.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// account counts an event's outcome, and logs a failure unless the same happened
// at this upstream a moment ago.
func (w *Webhook) account(u *upstream, e event, fail *failure, attempts int, took time.Duration) {
	w.metrics.duration.WithLabelValues(e.category).Observe(took.Seconds())
	if fail == nil {
		w.metrics.outcome(e.category, reasonOK)
		return
	}
	w.metrics.outcome(e.category, fail.reason)
	skipped, ok := u.log.pass(fail.reason)
	if !ok || fail.reason == reasonCanceled {
		return
	}
	w.cfg.Logger.Warn("upstream call failed",
		slog.Int("upstream", u.index), slog.String("hub", e.conn.Hub), slog.String("category", e.category),
		slog.String("reason", string(fail.reason)), slog.String("hint", fail.reason.hint()), slog.Int("status", fail.status),
		slog.Int("attempts", attempts), slog.Duration("took", took), slog.Int("skipped", skipped))
}

// logEvery is how often an upstream's failures of one reason are logged.
const logEvery = time.Second

// logGate keeps a failing upstream from filling the log: a line when the reason
// changes, else one in logEvery, which says how many were skipped.
type logGate struct {
	mu      sync.Mutex
	reason  reason
	last    time.Time
	skipped int
}

func (g *logGate) pass(r reason) (skipped int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r == g.reason && time.Since(g.last) < logEvery {
		g.skipped++
		return 0, false
	}
	skipped = g.skipped
	g.reason, g.last, g.skipped = r, time.Now(), 0
	return skipped, true
}
