package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/httpx"
)

// Told is what a node that keeps its own books tells a control plane, which can't hold a link and learns
// nothing else of them: how much of a budget is spent. It is no more than a word for the members.
type Told struct {
	Level   string `json:"level"` // of the account: session, member or credential
	Spent   bool   `json:"spent"` // or four fifths are
	Session string `json:"session"`
	Member  string `json:"member,omitempty"`
}

// toldPath is below /api, where a function app has everything.
const toldPath = "/api" + Prefix + "told"

// Teller is a node's way to such a control plane. It is safe for concurrent use.
type Teller struct{ caller }

// NewTeller checks the URL. transport may be nil.
func NewTeller(base string, key Key, transport http.RoundTripper) (*Teller, error) {
	c, err := newCaller(base, key, fromNode, transport)
	if err != nil {
		return nil, err
	}
	c.base = strings.TrimSuffix(c.base, Prefix)
	return &Teller{c}, nil
}

// Tell says it once.
func (t *Teller) Tell(ctx context.Context, what Told) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := t.call(ctx, http.MethodPost, toldPath, what, nil); err != nil {
		return fmt.Errorf("tell the control plane: %w", err)
	}
	return nil
}

// EarConfig is what NewEar needs. Find and Heard are required.
type EarConfig struct {
	// Find returns the key of a node by its name.
	Find func(name string) (Key, bool)
	// Heard is called with what a node has said. Its errors are answers.
	Heard      func(ctx context.Context, node string, what Told) error
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Ear is where Tellers are heard.
type Ear struct {
	cfg     EarConfig
	metrics *prometheus.CounterVec
}

// NewEar returns an Ear.
func NewEar(cfg EarConfig) (*Ear, error) {
	if cfg.Find == nil || cfg.Heard == nil {
		return nil, errors.New("control: incomplete configuration")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Ear{cfg, requestCounter("causeway_node_told_total", "What relay nodes with books of their own have said, by what came of it.")}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(e.metrics); err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
	}
	return e, nil
}

// Routes adds what nodes call to mux.
func (e *Ear) Routes(mux *http.ServeMux) {
	s := server{direction: fromNode, find: e.cfg.Find, metrics: e.metrics, log: e.cfg.Logger}
	s.route(mux, "POST "+toldPath, func(w http.ResponseWriter, r *http.Request, node string) error {
		var what Told
		if err := httpx.ReadJSON(w, r, maxBody, &what); err != nil {
			return err
		}
		if what.Session == "" || len(what.Session) > maxText || len(what.Member) > maxText {
			return &httpx.Error{Status: http.StatusBadRequest, Code: codeBad, Message: "This says nothing of a session."}
		}
		if err := e.cfg.Heard(r.Context(), node, what); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
