package flood

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config is one phase.
type Config struct {
	Base     string // of the server, http://127.0.0.1:PORT
	Duration time.Duration
	Honest   float64 // connects a second
	Sources  int     // networks of the honest users; 10
	Attack   float64 // requests a second; 0: none
	Networks int     // of the attack, up to 60000
	Solvers  int     // processors that the attack works on; 0: it does no work
}

// Result is what became of a phase.
type Result struct {
	Tried   int     `json:"honest_tried"`
	In      int     `json:"honest_in"`
	P50     float64 `json:"honest_p50_ms"`
	P95     float64 `json:"honest_p95_ms"`
	Why     string  `json:"honest_failure,omitempty"` // the last one
	Asked   int     `json:"attack_asked"`
	Served  int     `json:"attack_served"`
	Refused int     `json:"attack_refused"`
	Broken  int     `json:"attack_unanswered"` // no connection, or no answer in time
	Solved  int     `json:"attack_solved"`
}

// Share is how many of the honest connects succeeded.
func (r Result) Share() float64 {
	if r.Tried == 0 {
		return 0
	}
	return float64(r.In) / float64(r.Tried)
}

const (
	patience   = 30 * time.Second // of an honest user, for all of it
	attackers  = 64               // requests of the attack at once
	maxPending = 256              // challenges that wait for a solver; more are dropped
)

// Run drives one phase until its duration has passed and all who began have ended.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Sources == 0 {
		cfg.Sources = 10
	}
	if cfg.Honest <= 0 || cfg.Duration <= 0 || cfg.Networks < 0 || cfg.Networks > 60_000 || cfg.Attack > 0 && cfg.Networks == 0 {
		return Result{}, errors.New("flood: want a rate, a duration, and 1 to 60000 networks of the attack")
	}
	d := &drive{cfg: cfg, challenges: make(chan challenge, maxPending)}
	timed, stop := context.WithTimeout(ctx, cfg.Duration)
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { d.honest(timed, gctx); return nil })
	if cfg.Attack > 0 {
		g.Go(func() error { d.attack(timed, gctx); return nil })
	}
	for range cfg.Solvers {
		g.Go(func() error { d.solve(timed); return nil })
	}
	if err := g.Wait(); err != nil {
		return Result{}, err
	}
	d.close()
	slices.Sort(d.took)
	if n := len(d.took); n > 0 {
		d.result.P50, d.result.P95 = ms(d.took[n/2]), ms(d.took[min(n-1, n*95/100)])
	}
	return d.result, ctx.Err()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// drive is a phase that runs.
type drive struct {
	cfg        Config
	challenges chan challenge

	mu      sync.Mutex
	result  Result
	took    []time.Duration
	sources map[netip.Addr]*source
}

func (d *drive) note(f func(*Result)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.result)
}

// honest begins connects at their rate, each on a goroutine that ends with it.
func (d *drive) honest(timed, ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	n := 0
	every(timed, d.cfg.Honest, func() {
		addr := netip.AddrFrom4([4]byte{127, 9, byte(n % d.cfg.Sources), 1 + byte(n/d.cfg.Sources%200)})
		n++
		d.note(func(r *Result) { r.Tried++ })
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			began := time.Now()
			err := connect(ctx, d.cfg.Base, addr)
			took := time.Since(began)
			d.note(func(r *Result) {
				if err != nil {
					r.Why = fmt.Sprint(err)
					return
				}
				r.In++
				d.took = append(d.took, took)
			})
		})
	})
}

// every calls f at a rate until ctx ends; what is late is made up for.
func every(ctx context.Context, rate float64, f func()) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began, done := time.Now(), 0
	for {
		for due := int(time.Since(began).Seconds() * rate); done < due && ctx.Err() == nil; done++ {
			f()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// attack asks for sessions at its rate, whatever becomes of them.
func (d *drive) attack(timed, ctx context.Context) {
	work := make(chan netip.Addr, attackers)
	var all sync.WaitGroup
	defer all.Wait()
	defer close(work)
	for range attackers {
		all.Go(func() {
			for addr := range work {
				d.ask(ctx, addr, "")
			}
		})
	}
	n := 0
	every(timed, d.cfg.Attack, func() {
		i := n % d.cfg.Networks
		n++
		select {
		case work <- netip.AddrFrom4([4]byte{127, byte(16 + i>>8), byte(i), 1}):
		case <-timed.Done():
		}
	})
}

// solve does the attack's work on one processor.
func (d *drive) solve(timed context.Context) {
	for {
		select {
		case <-timed.Done():
			return
		case c := <-d.challenges:
			if text, err := c.solve(timed); err == nil {
				d.note(func(r *Result) { r.Solved++ })
				d.ask(timed, c.from, text)
			}
		}
	}
}
