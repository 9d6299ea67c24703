package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"
	"causeway/internal/signalr"

	"github.com/prometheus/client_golang/prometheus"
)

// Categories of events, and the events of connections.
const (
	categoryConnections = "connections"
	categoryMessages    = "messages"
	eventConnected      = "connected"
	eventDisconnected   = "disconnected"
)

// Hub messages of connections' events (spec §5.2): types beyond the hub protocol.
const (
	typeConnected    = 10
	typeDisconnected = 11
)

// ConnectedPolicy says what becomes of a connection whose connected event failed.
// Whatever it is, an upstream that answers 401 or 403 ends the connection for good.
type ConnectedPolicy uint8

// The policies.
const (
	ConnectedIgnore ConnectedPolicy = iota // the connection lives on
	ConnectedClose                         // it is closed, and may come again
)

// WebhookConfig configures a Webhook. Keys is required.
type WebhookConfig struct {
	// Keys sign the connection's id, the primary first. Called for each request.
	Keys accesskey.Keys
	// Secrets resolves the references in URLs.
	Secrets secret.Resolver
	// Identity gets a token of the managed identity for a resource. nil refuses
	// templates that need one.
	Identity func(ctx context.Context, resource string) (secret.Value, error)
	// Close closes a connection whose connected event failed. nil only logs.
	Close func(ctx context.Context, hub, connectionID, reason string, allowReconnect bool) error
	// OnConnectedFailure is the policy for all failures but 401 and 403.
	OnConnectedFailure ConnectedPolicy
	Timeout            time.Duration // of an event, waiting and retries included; 0 means 100 s
	ConnectTimeout     time.Duration // 0 means 10 s
	Concurrency        int           // requests at a time to one upstream; 0 means 128
	Queue              int           // events that wait for one upstream; 0 means 1024; more fail
	BreakerFailures    int           // failures in a row that open the breaker; 0 means 10
	BreakerCooldown    time.Duration // 0 means 10 s
	Retries            int           // 0, the default, means none
	RetryDelay         time.Duration // before the first retry, then doubling up to 10 s; 0 means 500 ms
	MaxResponse        int64         // bytes of a result; 0 means 16 MiB
	BareResults        bool          // take a JSON value that is no completion as a result
	Transport          http.RoundTripper
	Logger             *slog.Logger          // nil discards
	Registerer         prometheus.Registerer // nil: no metrics
}

func (cfg *WebhookConfig) setDefaults() {
	duration := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	number := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	duration(&cfg.Timeout, 100*time.Second)
	duration(&cfg.ConnectTimeout, 10*time.Second)
	duration(&cfg.BreakerCooldown, 10*time.Second)
	duration(&cfg.RetryDelay, 500*time.Millisecond)
	number(&cfg.Concurrency, 128)
	number(&cfg.Queue, 1024)
	number(&cfg.BreakerFailures, 10)
	if cfg.MaxResponse <= 0 {
		cfg.MaxResponse = 16 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
}

// Webhook is a realtime.RawHandler that calls webhooks. It has no upstreams until
// Reload gives it some.
type Webhook struct {
	cfg       WebhookConfig
	client    *http.Client
	upstreams atomic.Pointer[[]*upstream]
	metrics   *webhookMetrics
}

var _ realtime.RawHandler = (*Webhook)(nil)

// NewWebhook checks cfg and makes a Webhook.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	if cfg.Keys == nil {
		return nil, errors.New("rest webhook: Keys is required")
	}
	cfg.setDefaults()
	if cfg.Transport == nil {
		cfg.Transport = newTransport(cfg)
	}
	m, err := newWebhookMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("rest webhook: %w", err)
	}
	w := &Webhook{cfg: cfg, metrics: m, client: &http.Client{Transport: cfg.Transport, CheckRedirect: checkRedirect}}
	w.upstreams.Store(&[]*upstream{})
	return w, nil
}

func newTransport(cfg WebhookConfig) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.ConnectTimeout}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    cfg.ConnectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4 * cfg.Concurrency,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // results are passed on as they are
	}
}

// maxRedirects bounds redirects within a host.
const maxRedirects = 3

// checkRedirect follows redirects that keep host and method only: another host
// must not get signature, claims and code, and a GET is not what was asked for.
func checkRedirect(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > maxRedirects || next.Method != first.Method || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close ends the idle connections to the upstreams. Calls that are under way go on.
func (w *Webhook) Close() { w.client.CloseIdleConnections() }

// Reload replaces the upstreams by templates, or if one of them is wrong, none.
// Secrets are read anew. An upstream whose template has not changed keeps its
// queue and its breaker. Calls that are under way end at the old upstreams.
func (w *Webhook) Reload(ctx context.Context, templates []Template) error {
	if len(templates) > maxTemplates {
		return fmt.Errorf("upstream templates: more than %d", maxTemplates)
	}
	old := *w.upstreams.Load()
	ups := make([]*upstream, len(templates))
	for i, t := range templates {
		compiled, err := t.compile(ctx, w.cfg.Secrets)
		if err != nil {
			return fmt.Errorf("upstream template %d: %w", i, err)
		}
		if t.Resource != "" && w.cfg.Identity == nil {
			return fmt.Errorf("upstream template %d: no managed identity is available to this process", i)
		}
		ups[i] = newUpstream(w.cfg, i, t, compiled, old)
	}
	w.upstreams.Store(&ups)
	return nil
}

func (w *Webhook) match(hub, category, event string) *upstream {
	for _, u := range *w.upstreams.Load() {
		if u.target.match(hub, category, event) {
			return u
		}
	}
	return nil
}

// Connected tells the upstream of a connection, and returns when it has answered.
func (w *Webhook) Connected(ctx context.Context, c realtime.Connection) {
	body := fmt.Appendf(nil, `{"type":%d}`, typeConnected)
	_, fail := w.deliver(ctx, event{conn: c, category: categoryConnections, name: eventConnected, kind: "application/json", body: body})
	if fail == nil || fail.reason == reasonUnmatched || fail.reason == reasonCanceled {
		return
	}
	refused := fail.reason == reasonUnauthorized || fail.reason == reasonForbidden
	if !refused && w.cfg.OnConnectedFailure == ConnectedIgnore || w.cfg.Close == nil {
		return
	}
	err := w.cfg.Close(ctx, c.Hub, c.ID, "The upstream did not accept the connection.", !refused)
	if err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		w.cfg.Logger.Warn("close a connection that the upstream did not accept", slog.String("hub", c.Hub), slog.Any("error", err))
	}
}

// Disconnected tells the upstream that a connection has ended.
func (w *Webhook) Disconnected(ctx context.Context, c realtime.Connection, reason string) {
	body, err := json.Marshal(struct {
		Type  int    `json:"type"`
		Error string `json:"error,omitempty"`
	}{typeDisconnected, reason})
	if err != nil {
		return // a struct of a number and a text always encodes
	}
	_, _ = w.deliver(ctx, event{conn: c, category: categoryConnections, name: eventDisconnected, kind: "application/json", body: body})
}

// InvokedRaw passes an invocation on in the client's encoding, and its completion
// back. What goes wrong becomes a completion with an error for the client.
func (w *Webhook) InvokedRaw(ctx context.Context, c realtime.Connection, protocol, target string, raw []byte, wantsResult bool) ([]byte, error) {
	p, ok := signalr.ProtocolByName(protocol)
	if !ok {
		return nil, fmt.Errorf("webhook: unknown hub protocol")
	}
	id := ""
	if wantsResult {
		head, err := p.Head(raw)
		if err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		id = head.InvocationID
	}
	kind := "application/json"
	if p == signalr.MessagePack {
		kind = "application/x-msgpack"
	}
	body, fail := w.deliver(ctx, event{
		conn: c, category: categoryMessages, name: target, kind: kind, body: raw,
		check: func(body []byte) ([]byte, bool) { return completionOf(p, id, body, w.cfg.BareResults) }, wantsResult: wantsResult,
	})
	if !wantsResult {
		return nil, nil
	}
	if fail != nil {
		return p.Append(nil, &signalr.Message{Type: signalr.Completion, InvocationID: id, Error: fail.text()})
	}
	return body, nil
}

// Invoked does the same for a service that passes on decoded messages: it calls
// the upstream as for a JSON client.
func (w *Webhook) Invoked(ctx context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	const id = "1"
	frame, err := signalr.JSON.Append(nil, &signalr.Message{Type: signalr.Invocation, InvocationID: id, Target: m.Target, Arguments: m.Arguments})
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	completion, err := w.InvokedRaw(ctx, c, signalr.JSON.String(), m.Target, frame[:len(frame)-1], true)
	if err != nil || completion == nil {
		return nil, err
	}
	answer, err := signalr.JSON.Decode(completion[:len(completion)-1])
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if answer.Error != "" {
		return nil, &realtime.Error{Code: "upstream", Message: answer.Error}
	}
	return answer.Value, nil
}
