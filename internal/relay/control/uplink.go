package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"causeway/internal/relay/grants"
)

// UplinkConfig is what NewUplink needs. Control, Key and Status are required.
type UplinkConfig struct {
	Control string // its URL
	Key     Key
	// Status is what is reported of the node; its CutOff is the Uplink's to say.
	Status func() Status
	// Outlive lets grants live for so long beyond their last renewal (relay.Server.Outlive), and Window is how
	// long that is while the control plane can't be reached; 60 s by default.
	Outlive func(time.Duration)
	Window  time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	Transport  http.RoundTripper     // nil: our own
}

const (
	defaultWindow = time.Minute
	defaultGrace  = 20 * time.Second
	hold          = 10 * time.Second
	flushEvery    = time.Second
	reportPause   = time.Second // between reports that are not held
	maxSettled    = 4000        // in one settlement
)

// Uplink is a node's side of the link to its control plane, and the ledger of its relay. It is safe for
// concurrent use.
type Uplink struct {
	cfg    UplinkConfig
	call   caller
	boot   string
	calls  *prometheus.CounterVec
	up     prometheus.Gauge
	lost   atomic.Bool
	change chan struct{} // the status has

	mu      sync.Mutex
	pending map[string]settled // what is not reported yet
	sent    []settled          // as settlement number seq, until it is taken
	seq     uint64
}

var _ grants.Ledger = (*Uplink)(nil)

// NewUplink checks cfg. The link is down until Run has reported.
func NewUplink(cfg UplinkConfig) (*Uplink, error) {
	c, err := newCaller(cfg.Control, cfg.Key, fromNode, cfg.Transport)
	if err != nil {
		return nil, err
	}
	if cfg.Status == nil || cfg.Outlive == nil {
		return nil, errors.New("control: incomplete configuration of a node's uplink")
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	u := &Uplink{cfg: cfg, call: c, boot: rand.Text(), change: make(chan struct{}, 1), pending: map[string]settled{},
		calls: requestCounter("causeway_control_calls_total", "Calls to the control plane, by what came of them."),
		up:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_control_up", Help: "Whether the control plane is reached: 1 or 0."}),
	}
	u.lost.Store(true)
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(u.calls, u.up)
	}
	return u, nil
}

// CutOff tells whether the control plane can't be reached.
func (u *Uplink) CutOff() bool { return u.lost.Load() }

// Lease implements grants.Ledger.
func (u *Uplink) Lease(ctx context.Context, grantID string, want int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var a leased
	err := u.post(ctx, "lease", leaseRequest{grantID, want}, &a)
	switch {
	case errors.Is(err, ErrSpent):
		return 0, fmt.Errorf("lease: %w: %w", grants.ErrSpent, err)
	case err != nil:
		return 0, fmt.Errorf("lease: %w", err)
	case a.Granted <= 0 || a.Granted > want:
		return 0, errors.New("lease: the answer makes no sense")
	}
	return a.Granted, nil
}

// Settle implements grants.Ledger: it is remembered, and sent within a second.
func (u *Uplink) Settle(_ context.Context, grantID string, delivered, charged, returned int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, ok := u.pending[grantID]
	if !ok && len(u.pending) >= maxWaiting {
		return errors.New("settle: too many grants wait for the control plane")
	}
	u.pending[grantID] = settled{grantID, s.Delivered + delivered, s.Charged + charged, s.Returned + returned}
	return nil
}

// Changed says that the status has, so that it is reported at once.
func (u *Uplink) Changed() {
	select {
	case u.change <- struct{}{}:
	default:
	}
}

// Run keeps the link until ctx ends, and settles once more then. It returns an error, wrapping ErrDenied, only if the
// control plane denies the very first report: then the configuration is wrong.
func (u *Uplink) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.report(ctx) })
	g.Go(func() error {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				u.flush(ctx)
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
				defer cancel()
				u.flush(last)
				return nil
			}
		}
	})
	return g.Wait()
}

// report says how the node is, again and again. Each report is held by the control plane: that is how
// each side notices that the other one is gone.
func (u *Uplink) report(ctx context.Context) error {
	first := true
	var back *time.Timer // when grants have been renewed after an outage
	defer func() {
		if back != nil {
			back.Stop()
		}
	}()
	for ctx.Err() == nil {
		began := time.Now()
		grace, err := u.reportOnce(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, context.Canceled): // the status has changed
		case errors.Is(err, ErrDenied) && first:
			return fmt.Errorf("report to the control plane: %w", err)
		case err != nil:
			if !u.lost.Swap(true) || first {
				u.cfg.Logger.WarnContext(ctx, "the control plane is not reached; no new grants meanwhile", "err", err)
			}
			u.up.Set(0)
			if back != nil {
				back.Stop()
			}
			u.cfg.Outlive(u.cfg.Window)
			first = false
			pause(ctx, retryAfter)
		default:
			if u.lost.Swap(false) {
				u.cfg.Logger.InfoContext(ctx, "the control plane is reached")
				u.up.Set(1)
				back = time.AfterFunc(grace, func() {
					if !u.lost.Load() {
						u.cfg.Outlive(0)
					}
				})
			}
			first = false
			if time.Since(began) < reportPause {
				select {
				case <-u.change:
				case <-ctx.Done():
				case <-time.After(reportPause):
				}
			}
		}
	}
	return nil
}

// reportOnce ends early, with context.Canceled, when the status changes.
func (u *Uplink) reportOnce(ctx context.Context) (grace time.Duration, err error) {
	r := report{Status: u.cfg.Status(), Boot: u.boot, Hold: int64(hold / time.Millisecond)}
	if u.lost.Load() {
		r.Hold = 0 // the answer is what tells that the link is up
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout+time.Duration(r.Hold)*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-u.change:
			cancel()
		case <-ended:
		}
	}()
	r.CutOff = false
	var a reported
	if err := u.post(ctx, "report", r, &a); err != nil {
		return 0, err
	}
	if d, ok := milliseconds(a.Grace); ok {
		return d, nil
	}
	return defaultGrace, nil
}

func (u *Uplink) post(ctx context.Context, path string, body, answer any) error {
	err := u.call.call(ctx, http.MethodPost, path, body, answer)
	u.calls.WithLabelValues(resultOf(err)).Inc()
	return err
}

// flush sends what is to be settled; what is not taken is sent again under the same number.
func (u *Uplink) flush(ctx context.Context) {
	for {
		s := u.settlement()
		if len(s.List) == 0 {
			return
		}
		fctx, cancel := context.WithTimeout(ctx, callTimeout)
		err := u.post(fctx, "settle", s, nil)
		cancel()
		if err != nil && (Transport(err) || ctx.Err() != nil) {
			return // next time
		}
		if err != nil { // it will not be taken: it is spent there when the grant is closed
			u.cfg.Logger.WarnContext(ctx, "the control plane does not take a settlement", "err", err)
		}
		u.mu.Lock()
		u.sent = nil
		u.mu.Unlock()
	}
}

// settlement is the one that was sent and not taken, or a new one.
func (u *Uplink) settlement() settlement {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sent == nil && len(u.pending) > 0 {
		u.seq++
		for id, s := range u.pending {
			if len(u.sent) == maxSettled {
				break
			}
			u.sent = append(u.sent, s)
			delete(u.pending, id)
		}
	}
	return settlement{u.boot, u.seq, u.sent}
}
