package budget

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Errors that callers branch on, always wrapped.
var (
	// ErrSpent: an account is spent; the grant's data path is to be cut.
	ErrSpent = errors.New("budget is spent")
	// ErrShort: what is left is less than what was declared; ErrSpent, too.
	ErrShort = errors.New("less is left than was declared")
	// ErrBusy: all that is left is leased to others, and may come back.
	ErrBusy = errors.New("budget is leased out")
	// ErrUnknown: no such grant is open.
	ErrUnknown = errors.New("no such grant")
	// ErrFull: too many accounts.
	ErrFull = errors.New("too many accounts")
	// ErrCorrupt: the file of day and month is damaged.
	ErrCorrupt = errors.New("budget file is damaged")
)

// Cap limits an account.
type Cap struct {
	Bytes int64 // 0: the default; Unlimited
	Money int64 // in millionths of the currency; 0: none
}

func (c Cap) amount() amount { return amount{c.Bytes, c.Money} }

// Config configures a Ledger.
type Config struct {
	// Dir is where day and month are kept. It is made if missing, and locked while the Ledger is
	// in use. Empty: in memory only, for tests.
	Dir string
	// Session, Day and Month default to 4 GiB, 100 GiB and 1 TiB. Credential defaults
	// to no cap but its member's.
	Credential, Session, Day, Month Cap
	// MemberShare is how much of a session's cap a member may spend for whom no transfer was declared, in percent; 60.
	MemberShare int
	// DeclaredPercent of what a session's members declared, and Allowance in bytes on top, is what
	// the session may spend, if that is less than its cap; 115 and 16 MiB. Headers and acknowledgements are some 12 %
	// of a file. As the two ends of a transfer both declare it, there is room for a second try.
	DeclaredPercent int
	Allowance       int64
	// Prices are in millionths of a currency per gigabyte (10⁹ bytes), by the name that
	// Chain.Price gives. A name that is missing costs nothing if empty, and is an error otherwise.
	Prices map[string]int64
	Limits Limits
	// Retain is how long the account of a session without grants is kept, at least as
	// long as its invite can be used; 24 hours.
	Retain time.Duration
	// Usage asks providers, by the name of Chain.Price, what their credentials have relayed;
	// every Poll, a minute by default.
	Usage map[string]UsageFunc
	Poll  time.Duration
	// Logger may be nil, for none.
	Logger *slog.Logger
	// Registerer gets the metrics, causeway_budget_…; nil for none.
	Registerer prometheus.Registerer
}

// Limits bounds the Ledger. A zero field takes its default.
type Limits struct {
	Grants   int // open ones; 65536
	Sessions int // with a grant, or with something spent; 65536
	Members  int // of one session, likewise; 64
}

// UsageFunc returns how many bytes the credentials of some grants have relayed so far, in all;
// grants it knows nothing about are left out.
type UsageFunc func(ctx context.Context, grants []string) (total map[string]int64, err error)

func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		cap  *Cap
		name string
		def  int64
	}{
		{&c.Credential, "credential", Unlimited},
		{&c.Session, "session", 4 << 30},
		{&c.Day, "day", 100 << 30},
		{&c.Month, "month", 1 << 40},
	} {
		if f.cap.Bytes < 0 || f.cap.Money < 0 {
			return c, fmt.Errorf("budget: the cap of a %s is negative", f.name)
		}
		if f.cap.Bytes == 0 {
			f.cap.Bytes = f.def
		}
		if f.cap.Money == 0 {
			f.cap.Money = Unlimited
		}
	}
	if err := c.setNumbers(); err != nil {
		return c, err
	}
	for name, p := range c.Prices {
		if p < 0 || p > maxPrice {
			return c, fmt.Errorf("budget: price of %q: want 0 to %d millionths a gigabyte", name, maxPrice)
		}
	}
	if c.Retain < 0 || c.Poll < 0 || c.Allowance < 0 {
		return c, errors.New("budget: a negative setting")
	}
	if c.Retain == 0 {
		c.Retain = 24 * time.Hour
	}
	if c.Poll == 0 {
		c.Poll = time.Minute
	}
	if c.Allowance == 0 {
		c.Allowance = 16 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (c *Config) setNumbers() error {
	for _, f := range []struct {
		value *int
		name  string
		def   int
	}{
		{&c.MemberShare, "member share", 60},
		{&c.DeclaredPercent, "declared percent", 115},
		{&c.Limits.Grants, "limit of grants", 65536},
		{&c.Limits.Sessions, "limit of sessions", 65536},
		{&c.Limits.Members, "limit of members", 64},
	} {
		if *f.value < 0 {
			return fmt.Errorf("budget: %s is negative", f.name)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if c.MemberShare > 100 || c.DeclaredPercent < 100 {
		return errors.New("budget: want a member share of at most 100 percent, and at least 100 percent of what is declared")
	}
	return nil
}

// Kind of an Event.
type Kind uint8

// The kinds of events.
const (
	Warning Kind = iota // four fifths of a cap are spent
	Cut                 // a cap is spent
)

// Event says that an account is nearly or wholly spent. There is one of a kind for each account;
// for a day and a month, one each day and month.
type Event struct {
	Kind    Kind
	Level   Level
	Session string // empty for Day and Month, which concern all
	Member  string // for Member and Credential
	Grant   string // for Credential
}

// Concerns says whether a grant of c spends from the account that e is about.
func (e Event) Concerns(c Chain, grantID string) bool {
	switch e.Level {
	case Credential:
		return e.Grant == grantID
	case Member:
		return e.Session == c.Session && e.Member == c.Member
	case Session:
		return e.Session == c.Session
	}
	return true
}

// maxEvents is how many wait for a reader.
const maxEvents = 1024

// Ledger is the accounts. It is safe for concurrent use.
type Ledger struct {
	cfg     Config
	metrics *metrics
	events  chan Event

	mu         sync.Mutex
	journal    journal
	dayEnds    time.Time
	monthEnds  time.Time
	day, month account
	sessions   map[string]*session
	grants     map[string]*grant
	delivered  int64 // since New
}

// session is the account of a session, with its members'. Those who have neither a grant nor
// spent anything are not there.
type session struct {
	account
	id      string
	daily   Cap // Chain.Daily
	members map[string]*member
	grants  int
	idle    time.Time // since when without a grant
}

type member struct {
	account
	id       string
	declared int64
	grants   int
}

// grant is one credential, open.
type grant struct {
	account
	id          string
	session     *session
	member      *member
	provider    string
	price       price
	outstanding int64     // leased bytes
	rest        int64     // of money; see price.cost
	reserved    int64     // money that is leased for outstanding and rest
	reported    int64     // by the provider, in all
	starved     time.Time // since when it asks in vain; zero: it does not
	closed      time.Time
}

// New opens the ledger: it reads the file in Dir, and locks it. A damaged file is ErrCorrupt, and
// not a fresh budget. Close a Ledger after Run.
func New(cfg Config) (*Ledger, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		cfg:      cfg,
		metrics:  newMetrics(),
		events:   make(chan Event, maxEvents),
		sessions: map[string]*session{},
		grants:   map[string]*grant{},
	}
	now := time.Now().UTC()
	if err := l.journal.open(cfg.Dir, now); err != nil {
		return nil, fmt.Errorf("open budget: %w", err)
	}
	l.restore(now)
	if cfg.Registerer != nil {
		if err := l.metrics.register(cfg.Registerer, l); err != nil {
			return nil, errors.Join(fmt.Errorf("budget: %w", err), l.journal.close())
		}
	}
	return l, nil
}

// restore makes day and month of what the journal knows: all up to the marks is spent.
func (l *Ledger) restore(now time.Time) {
	m := l.journal.mark
	l.day, l.month = newAccount(l.cfg.Day.amount()), newAccount(l.cfg.Month.amount())
	l.dayEnds, l.monthEnds = periods(now)
	if m.Day != "" {
		// A clock that went back, by less than open refuses, is no new day.
		if at, err := time.Parse(time.DateOnly, m.Day); err == nil && at.After(now) {
			l.dayEnds, l.monthEnds = periods(at)
		}
		if m.Day == dayOf(l.dayEnds) {
			l.day.settle(amount{}, m.Of[0].amount())
		}
		if m.Month == monthOf(l.monthEnds) {
			l.month.settle(amount{}, m.Of[1].amount())
		}
	}
}

// Close writes the exact state, and releases the file. Leases that are outstanding then
// count as spent.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.journal.write(l.used(), dayOf(l.dayEnds), monthOf(l.monthEnds))
	if err != nil {
		err = fmt.Errorf("close budget: %w", err)
	}
	return errors.Join(err, l.journal.close())
}

// Events returns what happens to accounts. It has one reader, which tells the members.
func (l *Ledger) Events() <-chan Event { return l.events }

// Status is the state of an account.
type Status struct {
	Cap, Left, Delivered, Leased                     int64 // bytes
	MoneyCap, MoneyLeft, MoneyDelivered, MoneyLeased int64 // millionths; Unlimited as a cap
}

func (a *account) status() Status {
	return Status{a.limit.bytes, a.left.bytes, a.spent.bytes, a.leased.bytes, a.limit.money, a.left.money, a.spent.money, a.leased.money}
}

// Status returns the accounts of this day and this month.
func (l *Ledger) Status() (day, month Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	return l.day.status(), l.month.status()
}

// Session returns the account of a session; false if it has none, having spent nothing.
func (l *Ledger) Session(id string) (Status, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sessions[id]
	if !ok {
		return Status{}, false
	}
	return s.status(), true
}
