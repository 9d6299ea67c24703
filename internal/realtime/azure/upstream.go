package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/signalr"

	"github.com/prometheus/client_golang/prometheus"
)

// UpstreamConfig configures an Upstream. Handler is required, and Keys or Token; with both, a
// request needs both.
type UpstreamConfig struct {
	// Keys that a signature may be made with. Called for each request; nil where the service has no
	// access keys, and its signature says nothing.
	Keys accesskey.Keys
	// Token checks the token of the service's identity. An error is a refusal.
	Token func(ctx context.Context, token string) error
	// Handler is what a hub's events go to, by the hub's name in lower case. nil
	// says that there is no such hub. A realtime.RawHandler gets messages as they are.
	Handler func(hub string) realtime.Handler
	// MaxBody in bytes; 0 means 1 MiB.
	MaxBody int64
	// MaxConcurrent events; 0 means 1024. More are refused with 503.
	MaxConcurrent int
	Logger        *slog.Logger          // nil discards
	Registerer    prometheus.Registerer // nil: no metrics
}

// Upstream is the http.Handler that the service's webhooks call.
type Upstream struct {
	cfg      UpstreamConfig
	slots    chan struct{}
	turns    turns
	requests *prometheus.CounterVec
}

// NewUpstream checks cfg and makes an Upstream.
func NewUpstream(cfg UpstreamConfig) (*Upstream, error) {
	if cfg.Keys == nil && cfg.Token == nil || cfg.Handler == nil {
		return nil, errors.New("azure upstream: Handler, and Keys or Token, are required")
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = 1024
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	u := &Upstream{
		cfg: cfg, slots: make(chan struct{}, cfg.MaxConcurrent),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_azure_upstream_requests_total", Help: "Requests of webhooks by outcome.",
		}, []string{"outcome"}),
	}
	if cfg.Registerer != nil {
		err := cfg.Registerer.Register(u.requests)
		var there prometheus.AlreadyRegisteredError
		if errors.As(err, &there) { // an Upstream that this one takes the place of
			u.requests, _ = there.ExistingCollector.(*prometheus.CounterVec)
		} else if err != nil {
			return nil, fmt.Errorf("azure upstream: register metrics: %w", err)
		}
	}
	return u, nil
}

// refusal is a status with a closed-set outcome for metrics.
type refusal struct {
	status  int
	outcome string
	text    string
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP serves one event.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outcome := "ok"
	if err := u.serve(w, r); err != nil {
		var told *refusal
		if !errors.As(err, &told) {
			told = &refusal{http.StatusInternalServerError, "internal", "the event could not be handled"}
			u.cfg.Logger.Error("webhook failed", slog.Any("error", err))
		}
		outcome = told.outcome
		http.Error(w, told.text, told.status)
	}
	u.requests.WithLabelValues(outcome).Inc()
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &refusal{http.StatusMethodNotAllowed, "method", "webhooks are POST requests"}
	}
	id, hub := r.Header.Get("X-ASRS-Connection-Id"), strings.ToLower(r.Header.Get("X-ASRS-Hub"))
	category, name := r.Header.Get("X-ASRS-Category"), r.Header.Get("X-ASRS-Event")
	if id == "" || hub == "" || category == "" || name == "" {
		return &refusal{http.StatusBadRequest, "bad_request", "X-ASRS-Connection-Id, -Hub, -Category and -Event are required"}
	}
	if err := u.authenticate(r, id); err != nil {
		return err
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	default:
		return &refusal{http.StatusServiceUnavailable, "overloaded", "too many concurrent events"}
	}
	handler := u.cfg.Handler(hub)
	if handler == nil {
		return &refusal{http.StatusNotFound, "not_found", "no such hub"}
	}
	protocol, body, err := u.read(w, r)
	if err != nil {
		return err
	}
	// The handler's calls for one connection come one at a time, even if the
	// service gave up waiting for the last and sends the next.
	done, err := u.turns.take(r.Context(), hub+"\n"+id)
	if err != nil {
		return &refusal{http.StatusServiceUnavailable, "canceled", "the caller has gone"}
	}
	defer done()
	call := upstreamCall{w: w, r: r, handler: handler, event: name, protocol: protocol, body: body, conn: connectionOf(r, id, hub)}
	switch {
	case strings.EqualFold(category, "messages"):
		return call.message()
	case strings.EqualFold(category, "connections") && strings.EqualFold(name, "connected"):
		handler.Connected(r.Context(), call.conn)
	case strings.EqualFold(category, "connections") && strings.EqualFold(name, "disconnected"):
		handler.Disconnected(r.Context(), call.conn, call.reason())
	default:
		return &refusal{http.StatusNotFound, "not_found", "no such category and event"}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// authenticate asks for all that the service can show. Neither proof stands in for the other: a
// signature can be replayed by whoever has seen one.
func (u *Upstream) authenticate(r *http.Request, id string) error {
	if u.cfg.Keys != nil && !verifySignature(u.cfg.Keys(), id, r.Header.Get("X-ASRS-Signature")) {
		return &refusal{http.StatusUnauthorized, "unauthorized", "the signature is not by a known key"}
	}
	if u.cfg.Token == nil {
		return nil
	}
	if err := u.cfg.Token(r.Context(), bearer(r)); err != nil {
		u.cfg.Logger.WarnContext(r.Context(), "webhook refused", "err", err)
		return &refusal{http.StatusUnauthorized, "token", "the token is not of the service's identity"}
	}
	return nil
}

// bearer is the request's token. Azure's pages name two headers for it.
func bearer(r *http.Request) string {
	for _, name := range []string{"Authorization", "Authentication"} {
		scheme, token, _ := strings.Cut(r.Header.Get(name), " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

func (u *Upstream) read(w http.ResponseWriter, r *http.Request) (signalr.Protocol, []byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	protocol := signalr.JSON
	switch {
	case err != nil || kind != "application/json" && kind != "application/x-msgpack":
		return 0, nil, &refusal{http.StatusUnsupportedMediaType, "media_type", "want application/json or application/x-msgpack"}
	case kind == "application/x-msgpack":
		protocol = signalr.MessagePack
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, u.cfg.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return 0, nil, &refusal{http.StatusRequestEntityTooLarge, "too_large", "the body is too large"}
	}
	if err != nil {
		return 0, nil, &refusal{http.StatusBadRequest, "bad_request", "the body ended early"}
	}
	return protocol, body, nil
}

// upstreamCall is one event on its way to the handler.
type upstreamCall struct {
	w        http.ResponseWriter
	r        *http.Request
	handler  realtime.Handler
	conn     realtime.Connection
	event    string
	protocol signalr.Protocol
	body     []byte
}

// reason is why a connection ended; empty if it ended well, or nothing says.
func (c *upstreamCall) reason() string {
	var body struct{ Error string }
	if json.Unmarshal(c.body, &body) != nil {
		return ""
	}
	return body.Error
}

// message handles an invocation, and answers with a framed completion if the
// client wants one (spec §5.3).
func (c *upstreamCall) message() error {
	if c.protocol == signalr.JSON {
		c.body = bytes.TrimSuffix(c.body, []byte{0x1e}) // some senders frame it
	}
	m, err := c.protocol.Decode(c.body)
	if err != nil || m.Type != signalr.Invocation || m.Target == "" || !strings.EqualFold(m.Target, c.event) {
		return &refusal{http.StatusBadRequest, "bad_request", "the body is not an invocation of the event's target"}
	}
	if m.Arguments == nil {
		m.Arguments = []json.RawMessage{} // so that handlers may pass them on as they are
	}
	frame, err := c.invoke(m)
	if err != nil {
		return err
	}
	if m.InvocationID == "" {
		frame = nil
	}
	kind := "application/json"
	if c.protocol == signalr.MessagePack {
		kind = "application/x-msgpack"
	}
	c.w.Header().Set("Content-Type", kind)
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(frame) // the caller may be gone; nobody is left to tell
	return nil
}

// invoke calls the handler, and returns the framed completion.
func (c *upstreamCall) invoke(m signalr.Message) ([]byte, error) {
	completion := signalr.Message{Type: signalr.Completion, InvocationID: m.InvocationID}
	var err error
	if raw, ok := c.handler.(realtime.RawHandler); ok {
		var body []byte
		body, err = raw.InvokedRaw(c.r.Context(), c.conn, c.protocol.String(), m.Target, c.body, m.InvocationID != "")
		if err == nil && body != nil {
			return framed(c.protocol, body), nil
		}
	} else {
		completion.Value, err = c.handler.Invoked(c.r.Context(), c.conn, realtime.Message{Target: m.Target, Arguments: m.Arguments})
	}
	if m.InvocationID == "" {
		return nil, nil
	}
	if err != nil {
		completion.Value, completion.Error = nil, errorText(err)
	}
	frame, err := c.protocol.Append(nil, &completion)
	if err != nil {
		return nil, fmt.Errorf("encode the completion: %w", err)
	}
	return frame, nil
}

// framed frames a completion unless it is one already.
func framed(p signalr.Protocol, body []byte) []byte {
	if _, err := p.Decode(body); err == nil {
		return p.AppendFrame(nil, body)
	}
	return body
}

// errorText is what a client may read of a handler's error.
func errorText(err error) string {
	var told *realtime.Error
	if errors.As(err, &told) {
		return told.Error()
	}
	return "An unexpected error occurred invoking the method on the server."
}
