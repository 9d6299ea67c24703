// Package rest lets other people's applications use a realtime.Service as they
// would use Azure SignalR Service in Serverless mode. It is two adapters, each
// the mirror of one in package azure:
//
//	application ──HTTP──▶ Handler ──▶ realtime.Service     the data plane (spec §4)
//	application ◀──HTTP── Webhook ◀── realtime.Handler     the upstream (spec §5)
//
// # Data plane
//
// Handler serves both path families, /api/v1/… and /api/…?api-version=DATE (any
// date from 2022-06-01 on, or none). Each request but the health check needs a
// token by an access key whose audience is the request's path; a client's token
// has another audience and is always refused. What a service can do beyond
// realtime.Service is found by type assertion; the rest answers 501 and says so,
// and so do the stream endpoints and bodies of application/x-msgpack, whose
// meaning is not public.
//
// Beyond Azure, under the same auth, in both families:
//
//	GET /hubs/{hub}/:count                    {"connections":3,"users":2}
//	GET /hubs/{hub}/groups/{group}/:count     the same for a group
//	GET /hubs/{hub}/users/{user}/:count       the same for a user, or /connections/{id}
//	GET /hubs/{hub}/connections               {"value":[{"connectionId","userId"}],"nextLink"}
//	GET /hubs/{hub}/users/{user}/connections  the same for a user, or /connections/{id}
//	GET /hubs/{hub}/users                     {"value":[{"userId"}],"nextLink"}, in the order of ids
//	GET /hubs/{hub}/groups/{group}/users      the same for a group
//
// Lists take maxpagesize (1 to 200) and top, and go on at nextLink, whose
// continuationToken is opaque, signed, and only good for that list.
//
// The filter of :execute is a part of OData: and, or, not, parentheses, eq and
// ne with a string or null, and startswith, endswith and contains, over userId
// and connectionId. Anything else is refused with 400.
//
// # Upstream
//
// Webhook calls the first upstream whose patterns match. A slow or broken
// upstream must not take others with it, so each has a bound on its concurrent
// requests, a bounded queue in front of it, a time limit and a circuit breaker.
// Requests are made by the caller's goroutine; Webhook has none.
//
// # Hostile input
//
// Callers of Handler hold a key, but bodies are checked as if they did not: a
// frame that is not one whole invocation would break the clients it is sent to.
// Clients choose an invocation's target, which becomes part of an upstream's URL
// and headers: it is percent-encoded in the one, and refused in the other if it
// holds control characters.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the data plane that Azure documents (spec §4.3, §3.4).
const (
	DefaultMaxBody       = 1 << 20
	maxHeaderBytes       = 16 << 10
	maxURIBytes          = 12 << 10
	defaultMaxConcurrent = 512
	defaultInvokeTimeout = 30 * time.Second
)

// HandlerConfig configures a Handler. Service and Keys are required.
type HandlerConfig struct {
	// Service is the service of a hub, whose name comes in lower case; if the
	// request has an application, as application_hub. nil says that there is none.
	Service func(hub string) realtime.Service
	// Keys by which tokens are verified, the primary first.
	Keys accesskey.Keys
	// Hosts that a token's audience may name; empty accepts every host.
	Hosts []string
	// MaxBody in bytes; 0 means DefaultMaxBody. More is answered with 413.
	MaxBody int64
	// MaxConcurrent requests past authentication; 0 means 512. More are answered with 429.
	MaxConcurrent int
	// InvokeTimeout bounds how long :invoke waits for the client; 0 means 30 s.
	InvokeTimeout time.Duration
	Logger        *slog.Logger          // nil discards
	Registerer    prometheus.Registerer // nil: no metrics
}

// Handler is the data plane, an http.Handler for all paths under /api/.
type Handler struct {
	cfg     HandlerConfig
	auth    accesskey.Verifier
	slots   chan struct{}
	routes  map[int][]route
	metrics *handlerMetrics
}

// NewHandler checks cfg and makes a Handler.
func NewHandler(cfg HandlerConfig) (*Handler, error) {
	if cfg.Service == nil || cfg.Keys == nil {
		return nil, errors.New("rest handler: Service and Keys are required")
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = defaultMaxConcurrent
	}
	if cfg.InvokeTimeout <= 0 {
		cfg.InvokeTimeout = defaultInvokeTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newHandlerMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("rest handler: %w", err)
	}
	h := &Handler{
		cfg:     cfg,
		auth:    accesskey.Verifier{Keys: cfg.Keys, Hosts: cfg.Hosts},
		slots:   make(chan struct{}, cfg.MaxConcurrent),
		metrics: m,
	}
	h.routes = h.table()
	return h, nil
}

// call is one request on its way through the data plane.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	query   url.Values
	v1      bool // of the family /api/v1
	service realtime.Service
	hub     string // lower case, with the application's prefix

	group, user, connection string // parameters of the path, if it has them
}

func (c *call) ctx() context.Context { return c.r.Context() }

// ServeHTTP serves the data plane.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := opUnknown
	recorder := &statusRecorder{ResponseWriter: w}
	if err := h.serve(recorder, r, &operation); err != nil {
		h.fail(recorder, r, operation, err)
	}
	h.metrics.request(operation, recorder.status)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, operation *string) error {
	if err := checkSize(r); err != nil {
		return err
	}
	path, v1, ok := family(r.URL.EscapedPath())
	if !ok {
		return notFound("no such path")
	}
	switch path {
	case "health":
		*operation = opHealth
		return serveHealth(w, r) // anonymous: SDKs send no token
	case "auth/accessKey":
		*operation = opUnsupported // its callers have a token of Microsoft's, and should not read "bad signature"
		return notImplemented("Microsoft Entra identities are not supported; use a connection string with an AccessKey")
	}
	if err := h.authenticate(r); err != nil {
		return err
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return &problem{status: http.StatusTooManyRequests, code: "TooManyRequests", message: "too many concurrent requests; try again"}
	}
	found, params, err := h.find(r.Method, path, v1)
	if err != nil {
		return err
	}
	*operation = found.operation
	c, err := h.newCall(w, r, v1, params)
	if err != nil {
		return err
	}
	return found.serve(c)
}

// checkSize refuses requests whose head exceeds the limits of the service,
// whatever the limits of the server are.
func checkSize(r *http.Request) error {
	if len(r.RequestURI) > maxURIBytes {
		return &problem{status: http.StatusRequestURITooLong, code: "UriTooLong", message: fmt.Sprintf("the URI exceeds %d bytes", maxURIBytes)}
	}
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	if size > maxHeaderBytes {
		return &problem{status: http.StatusRequestHeaderFieldsTooLarge, code: "HeaderTooLarge", message: fmt.Sprintf("the headers exceed %d bytes", maxHeaderBytes)}
	}
	return nil
}

func serveHealth(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return methodNotAllowed("GET, HEAD")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *Handler) authenticate(r *http.Request) error {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return unauthorized("a bearer token is required")
	}
	if err := h.auth.REST(strings.TrimSpace(token), r.URL.EscapedPath()); err != nil {
		return unauthorized(err.Error())
	}
	return nil
}

func (h *Handler) newCall(w http.ResponseWriter, r *http.Request, v1 bool, params params) (*call, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("query", "the query is malformed")
	}
	if err := checkVersion(query, v1); err != nil {
		return nil, err
	}
	c := &call{
		w: w, r: r, query: query, v1: v1,
		group: params.group, user: params.user, connection: params.connection,
	}
	if err := checkNames(params); err != nil {
		return nil, err
	}
	if c.hub, err = hubName(params.hub, query.Get("application")); err != nil {
		return nil, err
	}
	if c.service = h.cfg.Service(c.hub); c.service == nil {
		return nil, notFound("no such hub")
	}
	return c, nil
}

// checkVersion accepts every date from the first version on, since a client of a
// later one does nothing that we would know better, and none at all.
func checkVersion(query url.Values, v1 bool) error {
	version := query.Get("api-version")
	if v1 || version == "" {
		return nil
	}
	date, _ := strings.CutSuffix(version, "-preview")
	if _, err := time.Parse(time.DateOnly, date); err != nil || date < "2022-06-01" {
		return badRequest("api-version", "want a date from 2022-06-01 on")
	}
	return nil
}

func hubName(hub, application string) (string, error) {
	if !realtime.IsHubName(hub) {
		return "", badRequest("hub", "invalid hub name")
	}
	if application == "" {
		return strings.ToLower(hub), nil
	}
	if !realtime.IsHubName(application) {
		return "", badRequest("application", "invalid application name")
	}
	return strings.ToLower(application + "_" + hub), nil
}

// maxName is the length of the longest name of a group, in characters.
const maxName = 1024

func checkNames(p params) error {
	if p.has&hasGroup != 0 {
		if err := checkGroup(p.group); err != nil {
			return err
		}
	}
	if p.has&hasUser != 0 && (p.user == "" || len(p.user) > maxName*4) {
		return badRequest("user", "invalid user id")
	}
	if p.has&hasConnection != 0 && (p.connection == "" || len(p.connection) > maxName) {
		return badRequest("connectionId", "invalid connection id")
	}
	return nil
}

func checkGroup(name string) error {
	if strings.TrimSpace(name) == "" || len([]rune(name)) > maxName {
		return badRequest("group", "a group's name has 1 to 1024 characters, not only spaces")
	}
	return nil
}
