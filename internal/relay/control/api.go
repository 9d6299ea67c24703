package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/httpx"
	"causeway/internal/relay/grants"
)

// Codes of answers that are no success.
const (
	codeUnknown = "unknown_grant"
	codeSpent   = "spent"
	codeShort   = "short"
	codeAway    = "away"
	codeDenied  = "bad_token"
	codeBusy    = "busy"
	codeBad     = "bad_request"
)

// Relay is what a node's API works on: relay.Server. Renew fails for a grant that is not live.
type Relay interface {
	Put(g grants.Grant) error
	Renew(id string, until time.Time, ice []grants.ICEAuth) error
	Delete(id string)
	Moved(session, member string, addr netip.Addr)
}

// APIConfig is what NewAPI needs. All fields but Open and Logger are required.
type APIConfig struct {
	Key   Key
	Relay Relay
	// Status is what the node says of itself; Draining and CutOff refuse new grants.
	Status func() Status
	// Open makes the account of a new grant, in a node that keeps its own books; Close is its
	// end. nil: the control plane has them.
	Open  func(id string, g Grant) error
	Close func(id string)
	// Declare adds to what a grant is for, in such a node; ErrShort (wrapped) if that is not there.
	Declare func(id string, bytes int64) error

	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// API is what a node serves to those who have the signing key.
type API struct {
	cfg     APIConfig
	metrics *prometheus.CounterVec
}

// NewAPI returns an API.
func NewAPI(cfg APIConfig) (*API, error) {
	if cfg.Key.name == "" || cfg.Relay == nil || cfg.Status == nil || (cfg.Open == nil) != (cfg.Close == nil) {
		return nil, errors.New("control: incomplete configuration of a node's interface")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{cfg: cfg, metrics: requestCounter("causeway_control_requests_total", "Requests of the control plane to this node, by what came of them.")}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(a.metrics)
	}
	return a, nil
}

// Routes adds the API to mux.
func (a *API) Routes(mux *http.ServeMux) {
	find := func(name string) (Key, bool) { return a.cfg.Key, name == a.cfg.Key.name }
	serve := server{direction: toNode, find: find, metrics: a.metrics, log: a.cfg.Logger}
	serve.route(mux, "PUT "+Prefix+"grants/{id}", a.put)
	serve.route(mux, "POST "+Prefix+"grants", a.change)
	serve.route(mux, "GET "+Prefix+"status", func(w http.ResponseWriter, _ *http.Request, _ string) error {
		return httpx.WriteJSON(w, http.StatusOK, a.cfg.Status())
	})
	serve.rest(mux)
}

func (a *API) put(w http.ResponseWriter, r *http.Request, _ string) error {
	var g Grant
	if err := httpx.ReadJSON(w, r, maxBody, &g); err != nil {
		return err
	}
	id := r.PathValue("id")
	made, ok := g.grant(id, time.Now())
	if !ok {
		return &httpx.Error{Status: http.StatusBadRequest, Code: codeBad, Message: "This is no grant."}
	}
	s := a.cfg.Status()
	if s.Draining || s.CutOff { // whoever puts it: it could not be accounted for
		return away(nil)
	}
	if a.cfg.Open != nil {
		if err := a.cfg.Open(id, g); err != nil {
			return putError(err)
		}
	}
	if err := a.cfg.Relay.Put(made); err != nil {
		if a.cfg.Close != nil {
			a.cfg.Close(id)
		}
		return putError(err)
	}
	return httpx.WriteJSON(w, http.StatusOK, Placed{URLs: s.URLs, Realm: s.Realm})
}

func away(err error) error {
	return &httpx.Error{Status: http.StatusServiceUnavailable, Code: codeAway, Message: "This node takes no grants now.", Err: err}
}

// putError says why there is no grant. All but a spent budget may be otherwise at another node.
func putError(err error) error {
	if errors.Is(err, ErrShort) {
		return &httpx.Error{Status: http.StatusConflict, Code: codeShort, Message: "The budget is less than what was declared.", Err: err}
	}
	if errors.Is(err, grants.ErrSpent) || errors.Is(err, ErrSpent) {
		return &httpx.Error{Status: http.StatusConflict, Code: codeSpent, Message: "The budget is spent.", Err: err}
	}
	return away(err)
}

func (a *API) change(w http.ResponseWriter, r *http.Request, _ string) error {
	var c Changes
	if err := httpx.ReadJSON(w, r, maxBulk, &c); err != nil {
		return err
	}
	if len(c.Renew) > maxChanges || len(c.Delete) > maxChanges || len(c.Moved) > maxChanges {
		return &httpx.Error{Status: http.StatusRequestEntityTooLarge, Code: codeBad, Message: "Too many changes at once."}
	}
	for _, id := range c.Delete {
		a.cfg.Relay.Delete(id)
		if a.cfg.Close != nil {
			a.cfg.Close(id)
		}
	}
	for _, m := range c.Moved {
		a.cfg.Relay.Moved(m.Session, m.Member, m.Addr.Unmap())
	}
	var answer Changed
	now := time.Now()
	for _, one := range c.Renew {
		if one.Bytes > 0 && a.cfg.Declare != nil && errors.Is(a.cfg.Declare(one.ID, one.Bytes), ErrShort) {
			answer.Short = append(answer.Short, one.ID)
		}
		if one.Bytes > 0 && one.Live == 0 {
			continue
		}
		live, ok := milliseconds(one.Live)
		if !ok || len(one.ICE) > maxICE || a.cfg.Relay.Renew(one.ID, now.Add(live), auths(one.ICE)) != nil {
			answer.Gone = append(answer.Gone, one.ID)
		}
	}
	return httpx.WriteJSON(w, http.StatusOK, answer)
}

// server has what both ends serve with.
type server struct {
	direction string
	find      func(name string) (Key, bool)
	metrics   *prometheus.CounterVec
	log       *slog.Logger
}

// route adds a handler that is called with the node's name for those who have its token.
func (s server) route(mux *http.ServeMux, pattern string, f func(w http.ResponseWriter, r *http.Request, node string) error) {
	mux.Handle(pattern, httpx.Handler(s.log, func(w http.ResponseWriter, r *http.Request) error {
		scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		node, err := check(strings.TrimSpace(bearer), s.direction, s.find)
		if err != nil || !strings.EqualFold(scheme, "Bearer") {
			s.metrics.WithLabelValues("denied").Inc()
			return &httpx.Error{Status: http.StatusUnauthorized, Code: codeDenied, Message: "This needs a token of the node that it is about."}
		}
		err = f(w, r, node)
		s.metrics.WithLabelValues(resultOf(err)).Inc()
		return err
	}))
}

// rest answers what another version may know.
func (s server) rest(mux *http.ServeMux) {
	mux.Handle("/relay/", httpx.Handler(s.log, func(http.ResponseWriter, *http.Request) error {
		s.metrics.WithLabelValues("bad").Inc()
		return &httpx.Error{Status: http.StatusNotFound, Code: "unknown_request", Message: "This version of the control link has no such request."}
	}))
}

// results are what can come of a request, or a call.
func results() []string {
	return []string{"done", "spent", "unknown", "busy", "away", "denied", "bad", "failed", "unreachable"}
}

func requestCounter(name, help string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
	for _, r := range results() {
		c.WithLabelValues(r)
	}
	return c
}

func resultOf(err error) string {
	var answer *httpx.Error
	var no *refused
	code := ""
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &answer):
		code = answer.Code
	case errors.As(err, &no):
		code = no.code
	case errors.Is(err, context.Canceled):
		return "done" // by whoever asked
	default:
		return "unreachable"
	}
	switch code {
	case codeSpent, codeShort:
		return "spent"
	case codeUnknown:
		return "unknown"
	case codeBusy:
		return "busy"
	case codeAway:
		return "away"
	case codeDenied:
		return "denied"
	case codeBad, "too_large", "unknown_request":
		return "bad"
	}
	return "failed"
}
