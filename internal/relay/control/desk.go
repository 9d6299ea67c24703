package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/httpx"
	"causeway/internal/relay/grants"
)

// State is how a node is, as the control plane knows it.
type State int

// The states. A node that was started again is Away first, since its grants are lost.
const (
	Away State = iota
	Up
	Draining
)

// DeskConfig is what NewDesk needs. All fields but Logger and Registerer are required.
type DeskConfig struct {
	Keys []Key // of the nodes that may call
	// Ledger is what they lease from, for grants that Owns says were put on them.
	Ledger grants.Ledger
	Owns   func(node, grantID string) bool
	// Grace is within which time all that lives is renewed.
	Grace time.Duration
	// Changed is told of a node's new state. It does not wait.
	Changed    func(node string, s State)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

const (
	silence = 5 * time.Second // after the answer to a report, until a node is away
	broken  = time.Second     // after a report was broken off
	lookAt  = 200 * time.Millisecond
)

// Desk is the control plane's side of the link: nodes report, lease and settle here.
type Desk struct {
	cfg      DeskConfig
	requests *prometheus.CounterVec
	states   *prometheus.GaugeVec
	closing  chan struct{}

	mu    sync.Mutex
	nodes map[string]*desked
}

// desked is a node at the desk.
type desked struct {
	key      Key
	status   Status
	boot     string
	state    State
	held     int       // reports
	deadline time.Time // when it is away if it says nothing; zero while a report is held
	seq      uint64    // of the last settlement
	of       string    // and of which process
}

// NewDesk returns a Desk, at which all nodes are away.
func NewDesk(cfg DeskConfig) (*Desk, error) {
	if cfg.Ledger == nil || cfg.Owns == nil || cfg.Changed == nil || cfg.Grace <= 0 {
		return nil, errors.New("control: incomplete configuration")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, closing: make(chan struct{}), nodes: map[string]*desked{},
		requests: requestCounter("causeway_node_requests_total", "Requests of relay nodes, by what came of them."),
		states:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "causeway_node_state", Help: "State of a relay node: 0 away, 1 up, 2 draining."}, []string{"node"}),
	}
	for _, k := range cfg.Keys {
		d.nodes[k.name] = &desked{key: k}
		d.states.WithLabelValues(k.name).Set(0)
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(d.requests, d.states)
	}
	return d, nil
}

// Routes adds what nodes call to mux.
func (d *Desk) Routes(mux *http.ServeMux) {
	find := func(name string) (Key, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		n := d.nodes[name]
		if n == nil {
			return Key{}, false
		}
		return n.key, true
	}
	s := server{direction: fromNode, find: find, metrics: d.requests, log: d.cfg.Logger}
	s.route(mux, "POST "+Prefix+"report", d.report)
	s.route(mux, "POST "+Prefix+"lease", d.lease)
	s.route(mux, "POST "+Prefix+"settle", d.settle)
	s.rest(mux)
}

// Status is what a node last said of itself, and how it is.
func (d *Desk) Status(node string) (Status, State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[node]
	if n == nil {
		return Status{}, Away
	}
	return n.status, n.state
}

// Unreachable says that a call to a node failed. It is away, unless it holds a report here: then only its
// interface is not to be reached.
func (d *Desk) Unreachable(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.nodes[node]; n != nil && n.held == 0 && n.state != Away {
		d.enter(n, Away)
	}
}

// Run watches for nodes that fall silent, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(lookAt)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.look(now)
		}
	}
}

// Close answers the reports that are held, and holds none any more.
func (d *Desk) Close() { close(d.closing) }

func (d *Desk) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		if n.state != Away && !n.deadline.IsZero() && !now.Before(n.deadline) {
			d.enter(n, Away)
		}
	}
}

// enter changes a node's state; the caller holds the lock.
func (d *Desk) enter(n *desked, s State) {
	if n.state == s {
		return
	}
	n.state = s
	d.states.WithLabelValues(n.key.name).Set(float64(s))
	d.cfg.Logger.Info("a relay node has changed", "node", n.key.name, "state", s.String())
	d.cfg.Changed(n.key.name, s)
}

// String is for the log.
func (s State) String() string { return [...]string{"away", "up", "draining"}[s] }

func (d *Desk) report(w http.ResponseWriter, r *http.Request, node string) error {
	var body report
	if err := httpx.ReadJSON(w, r, maxBody, &body); err != nil {
		return err
	}
	n := d.begin(node, body)
	wait := time.NewTimer(time.Duration(min(max(body.Hold, 0), int64(2*hold/time.Millisecond))) * time.Millisecond)
	defer wait.Stop()
	patience := silence
	select {
	case <-wait.C:
	case <-d.closing:
	case <-r.Context().Done():
		patience = broken
	}
	d.end(n, patience)
	return httpx.WriteJSON(w, http.StatusOK, reported{Grace: int64(d.cfg.Grace / time.Millisecond)})
}

func (d *Desk) begin(node string, r report) *desked {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[node]
	if n.boot != r.Boot { // the process before is gone, with its grants
		d.enter(n, Away)
		n.boot = r.Boot
	}
	r.URLs = slices.Clip(r.URLs[:min(len(r.URLs), maxAddrs)])
	n.status = r.Status
	n.held++
	n.deadline = time.Time{}
	s := Up
	if r.Draining {
		s = Draining
	}
	d.enter(n, s)
	return n
}

func (d *Desk) end(n *desked, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.held--; n.held == 0 {
		n.deadline = time.Now().Add(patience)
	}
}

func (d *Desk) lease(w http.ResponseWriter, r *http.Request, node string) error {
	var body leaseRequest
	if err := httpx.ReadJSON(w, r, maxBody, &body); err != nil {
		return err
	}
	if body.Want <= 0 {
		return &httpx.Error{Status: http.StatusBadRequest, Code: codeBad, Message: "Nothing is wanted."}
	}
	if !d.cfg.Owns(node, body.ID) {
		return &httpx.Error{Status: http.StatusNotFound, Code: codeUnknown, Message: "This node has no such grant."}
	}
	n, err := d.cfg.Ledger.Lease(r.Context(), body.ID, body.Want)
	if errors.Is(err, grants.ErrSpent) {
		return &httpx.Error{Status: http.StatusConflict, Code: codeSpent, Message: "The budget is spent.", Err: err}
	}
	if err != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable, Code: codeBusy, Message: "There is nothing to lease now.", Err: err}
	}
	return httpx.WriteJSON(w, http.StatusOK, leased{n})
}

func (d *Desk) settle(w http.ResponseWriter, r *http.Request, node string) error {
	var body settlement
	if err := httpx.ReadJSON(w, r, maxBulk, &body); err != nil {
		return err
	}
	if d.fresh(node, body) {
		for _, s := range body.List {
			if !d.cfg.Owns(node, s.ID) {
				continue // it was closed, and what was leased counted as spent
			}
			if err := d.cfg.Ledger.Settle(r.Context(), s.ID, s.Delivered, s.Charged, s.Returned); err != nil {
				d.cfg.Logger.WarnContext(r.Context(), "a relay node's report does not add up", "node", node, "err", err)
			}
		}
	}
	return httpx.WriteJSON(w, http.StatusOK, struct{}{})
}

// fresh tells whether a settlement is not counted yet.
func (d *Desk) fresh(node string, s settlement) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[node]
	if n.of == s.Boot && s.Seq <= n.seq {
		return false
	}
	n.of, n.seq = s.Boot, s.Seq
	return true
}
