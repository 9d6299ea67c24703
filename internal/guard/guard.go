package guard

import (
	"crypto/rand"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/guard/bucket"
	"causeway/internal/guard/work"
)

// Mode says when a proof of work is asked for.
type Mode string

// The modes.
const (
	Auto   Mode = "auto"   // under pressure
	Always Mode = "always" // for tests
	Never  Mode = "off"
)

// Config configures a Guard. The zero Config limits by the defaults.
type Config struct {
	// Key of challenges; processes that serve together share it. Nil: a random one.
	Key []byte
	// Scale multiplies the limits by network and session; 1. Negative: there are none.
	Scale float64
	// Work is Auto by default. WorkFrom is how many new sessions in a second it begins from; 20. Joins
	// count half of that, negotiations a third.
	Work     Mode
	WorkFrom int
	// Block is what is blocked from the start, for good.
	Block []netip.Prefix
	// Purse pays, nil for no caps; Prices are what is paid.
	Purse  Purse
	Prices Prices
	// RelayAt and SessionsAt are shares of the caps in percent, see the package comment; 80 and 90.
	RelayAt, SessionsAt int
	// Relaying says whether a session uses a relay already; nil: none does.
	Relaying func(session string) bool
	// Refused is told of each refusal. It must not wait. May be nil.
	Refused func(Reason)
	// Registerer gets the metrics, causeway_guard_…; nil for none.
	Registerer prometheus.Registerer
}

// tableSize is how many networks, and how many sessions, have buckets of their own.
const tableSize = 1 << 16

const (
	// workLife is how long a challenge can be solved.
	workLife = time.Minute
	// maxSpent is how many used ones are remembered of that time.
	maxSpent = 1 << 16
)

// Guard is safe for concurrent use.
type Guard struct {
	cfg      Config
	metrics  metrics
	blocks   blocks
	prefixes *bucket.Table
	sessions *bucket.Table
	seed     maphash.Seed // of sessions
	work     *work.Issuer
	used     *work.Spent
	pressure [Negotiate + 1]*work.Pressure
	ceilings [Negotiate + 1]*bucket.One
	spend    spend
}

// New makes a Guard.
func New(cfg Config) (*Guard, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	scaled := func(rates [bucket.Kinds]bucket.Rate) [bucket.Kinds]bucket.Rate {
		for i := range rates {
			rates[i] = rates[i].Scaled(cfg.Scale)
		}
		return rates
	}
	g := &Guard{
		cfg:      cfg,
		prefixes: bucket.New(tableSize, scaled(prefixRates())),
		sessions: bucket.New(tableSize, scaled(sessionRates())),
		seed:     maphash.MakeSeed(),
		work:     work.NewIssuer(cfg.Key),
		used:     work.NewSpent(workLife, maxSpent),
		spend:    spend{purse: cfg.Purse, relayAt: float64(cfg.RelayAt) / 100, sessionsAt: float64(cfg.SessionsAt) / 100, free: cfg.Prices.free()},
	}
	for a := range g.pressure {
		from := cfg.WorkFrom * share[a]
		g.pressure[a] = work.NewPressure(from)
		g.ceilings[a] = bucket.NewOne(bucket.Rate{Burst: 2 * ceiling * from, Every: time.Second / time.Duration(ceiling*from)})
	}
	for _, p := range cfg.Block {
		if err := g.Block(p, time.Time{}); err != nil {
			return nil, err
		}
	}
	g.metrics = newMetrics()
	if cfg.Registerer != nil {
		if err := g.metrics.register(cfg.Registerer, g); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (c *Config) check() error {
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Work == "" {
		c.Work = Auto
	}
	for _, f := range []struct {
		value *int
		def   int
	}{{&c.WorkFrom, 20}, {&c.RelayAt, 80}, {&c.SessionsAt, 90}} {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	switch {
	case c.Work != Auto && c.Work != Always && c.Work != Never:
		return errors.New("guard: unknown mode of work")
	case c.WorkFrom < 0 || c.WorkFrom > math.MaxInt32 || c.RelayAt < 0 || c.SessionsAt < c.RelayAt || c.SessionsAt > 100:
		return errors.New("guard: want work from a positive rate, and 0 < relay ≤ sessions ≤ 100 percent")
	case c.Prices.Execution < 0 || c.Prices.Negotiation < 0 || c.Prices.Message < 0:
		return errors.New("guard: a negative price")
	}
	if c.Key == nil {
		c.Key = make([]byte, 32)
		_, _ = rand.Read(c.Key) // never fails
	}
	return nil
}

// Request is what is asked for.
type Request struct {
	Action Action
	// Addr is where it comes from; the zero Addr if that is not known: then there is no limit by network.
	Addr netip.Addr
	// Session is the one that it concerns; empty if none.
	Session string
	// Work is the solution of a challenge, as the client sent it; may be empty.
	Work string
	// Messages is how many clients are to get one.
	Messages int
}

// Admit says whether it is done: nil, or a *Refusal, which has been counted.
func (g *Guard) Admit(r Request) error {
	no := g.admit(&r)
	if no == nil {
		g.metrics.admitted[r.Action].Inc()
		return nil
	}
	g.refuse(no)
	return no
}

// Refuse counts a refusal that was decided elsewhere, and returns it.
func (g *Guard) Refuse(a Action, why Reason, retryAfter time.Duration) *Refusal {
	no := &Refusal{Action: a, Reason: why, RetryAfter: retryAfter}
	g.refuse(no)
	return no
}

func (g *Guard) refuse(no *Refusal) {
	g.metrics.refused[no.Action][no.Reason].Inc()
	if g.cfg.Refused != nil {
		g.cfg.Refused(no.Reason)
	}
}

func (g *Guard) admit(r *Request) *Refusal {
	now := time.Now()
	addr := r.Addr.Unmap()
	if no := g.checkBlock(r.Action, addr, now); no != nil {
		return no
	}
	network := networkOf(addr)
	proof, worked := g.proof(r, network, now)
	if !worked && network != 0 {
		if wait := g.prefixes.Take(network, int(r.Action), now); wait > 0 {
			return &Refusal{Action: r.Action, Reason: Prefix, RetryAfter: wait}
		}
	}
	if no := g.checkSpend(r, now); no != nil {
		return no
	}
	if r.Action.workable() && g.cfg.Work != Never {
		if no := g.checkWork(r, network, proof, worked, now); no != nil {
			return no
		}
	}
	if r.Session != "" {
		if wait := g.sessions.Take(maphash.String(g.seed, r.Session), int(r.Action), now); wait > 0 {
			return &Refusal{Action: r.Action, Reason: Session, RetryAfter: wait}
		}
	}
	if r.Action.workable() {
		if wait := g.ceilings[r.Action].Take(now); wait > 0 {
			return &Refusal{Action: r.Action, Reason: Busy, RetryAfter: wait + 2*time.Second}
		}
	}
	if !g.spend.pay(g.cfg.Prices.of(r.Action, r.Messages)) {
		return &Refusal{Action: r.Action, Reason: Spent, RetryAfter: g.untilMoney(now)}
	}
	if r.Action.workable() {
		g.pressure[r.Action].Served(now)
	}
	return nil
}

// networkOf names the network of an address; 0 if there is none.
func networkOf(a netip.Addr) uint64 {
	const v4, v6 = 1 << 60, 2 << 60
	switch {
	case a.Is4():
		b := a.As4()
		return v4 | uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2])
	case a.Is6():
		b, n := a.As16(), uint64(0)
		for _, x := range b[:7] { // a /56
			n = n<<8 | uint64(x)
		}
		return v6 | n
	}
	return 0
}

func (g *Guard) checkBlock(a Action, addr netip.Addr, now time.Time) *Refusal {
	until, ok := g.blocks.find(addr, now)
	if !ok {
		return nil
	}
	wait := 24 * time.Hour
	if !until.IsZero() {
		wait = until.Sub(now)
	}
	return &Refusal{Action: a, Reason: Blocked, RetryAfter: wait}
}

// Allowed says whether an address is not blocked, for what is not admitted one by one. The error
// is a *Refusal.
func (g *Guard) Allowed(addr netip.Addr) error {
	if no := g.checkBlock(Other, addr.Unmap(), time.Now()); no != nil {
		g.refuse(no)
		return no
	}
	return nil
}

func (g *Guard) checkSpend(r *Request, now time.Time) *Refusal {
	at, until := g.spend.now(now)
	switch {
	case at >= sessionsOff && r.Action.begins():
		return &Refusal{Action: r.Action, Reason: Paused, RetryAfter: until.Sub(now)}
	case at >= relayOff && r.Action == Mint && (g.cfg.Relaying == nil || !g.cfg.Relaying(r.Session)):
		return &Refusal{Action: r.Action, Reason: RelayOff, RetryAfter: until.Sub(now)}
	}
	return nil
}

// untilMoney is how long there is none.
func (g *Guard) untilMoney(now time.Time) time.Duration {
	day, month := ends(now)
	if g.spend.purse.State().Month >= 1 {
		return month.Sub(now)
	}
	return day.Sub(now)
}

// proof checks the solution that came along.
func (g *Guard) proof(r *Request, network uint64, now time.Time) (p work.Proof, ok bool) {
	if r.Work == "" || !r.Action.workable() || g.cfg.Work == Never {
		return p, false
	}
	p, err := g.work.Check(r.Work, byte(r.Action), network, now)
	if err != nil {
		g.metrics.unsolved.Inc()
		return p, false
	}
	return p, g.pressure[r.Action].Enough(p.Each)
}

// checkWork asks for work if it is wanted and was not done.
func (g *Guard) checkWork(r *Request, network uint64, p work.Proof, worked bool, now time.Time) *Refusal {
	var each uint32
	if worked { // it has been counted when it was given the challenge
		each = g.pressure[r.Action].Each()
	} else {
		each = g.pressure[r.Action].Asked(now)
	}
	if each == 0 && g.cfg.Work == Always {
		each = work.Easiest
	}
	reason := Work
	if worked {
		if g.used.Use(p, now) {
			g.metrics.solved.Inc()
			return nil
		}
		reason = Replayed // the next challenge costs a token like any other
		if wait := g.prefixes.Take(network, int(r.Action), now); wait > 0 && network != 0 {
			return &Refusal{Action: r.Action, Reason: Prefix, RetryAfter: wait}
		}
	}
	if each == 0 && !worked {
		return nil
	}
	challenge := g.work.Challenge(byte(r.Action), network, max(each, work.Easiest), now.Add(workLife))
	return &Refusal{Action: r.Action, Reason: reason, RetryAfter: time.Second, Work: challenge}
}
