package budget

import (
	"fmt"
	"time"
)

// Books are a Ledger's accounts outside of one, for ledgers that many processes share: whoever
// locks and loads a Total, and the Page of one session, can have a Bookkeeper do with them
// what a Ledger does, and stores what became of them. So there is one arithmetic. The forms are
// stable: they are stored as JSON.

// Amount is bytes, and money in millionths.
type Amount struct {
	Bytes int64 `json:"b,omitempty"`
	Money int64 `json:"m,omitempty"`
}

func (a Amount) in() amount  { return amount{a.Bytes, a.Money} }
func (a amount) out() Amount { return Amount{a.bytes, a.money} }

// Account is one budget: Cap − Left == Spent + Leased.
type Account struct {
	Cap    Amount `json:"cap"`
	Left   Amount `json:"left"`
	Spent  Amount `json:"spent"`
	Leased Amount `json:"leased"`
	Warned bool   `json:"warned,omitempty"` // events that were sent
	Cut    bool   `json:"cut,omitempty"`
}

// Total is the accounts of all. The zero Total is that of a new ledger.
type Total struct {
	DayEnds   time.Time `json:"dayEnds"`
	MonthEnds time.Time `json:"monthEnds"`
	Day       Account   `json:"day"`
	Month     Account   `json:"month"`
}

// Page is the account of a session, with its members' and grants'. A Page without an ID is none.
type Page struct {
	ID      string       `json:"id"`
	Daily   Cap          `json:"daily"`
	DayEnds time.Time    `json:"dayEnds"` // for Daily
	Account Account      `json:"account"`
	Members []PageMember `json:"members"`
	Grants  []PageGrant  `json:"grants"`
	Idle    time.Time    `json:"idle"` // since when without a grant
}

// PageMember is a member's account.
type PageMember struct {
	ID       string  `json:"id"`
	Account  Account `json:"account"`
	Declared int64   `json:"declared,omitempty"`
}

// PageGrant is a credential's.
type PageGrant struct {
	ID          string    `json:"id"`
	Member      string    `json:"member"`
	Provider    string    `json:"provider,omitempty"`
	Price       int64     `json:"price,omitempty"` // that it was opened at
	Account     Account   `json:"account"`
	Outstanding int64     `json:"outstanding,omitempty"`
	Rest        int64     `json:"rest,omitempty"`
	Reserved    int64     `json:"reserved,omitempty"`
	Reported    int64     `json:"reported,omitempty"`
	Starved     time.Time `json:"starved"`
	Closed      time.Time `json:"closed"`
}

// Bookkeeper does to Books what a Ledger does to its accounts. It is safe for concurrent use.
type Bookkeeper struct {
	cfg     Config
	metrics *metrics
}

// NewBookkeeper checks cfg. Its Dir, Poll, Logger and Registerer are not looked at, and of Limits only
// Members.
func NewBookkeeper(cfg Config) (*Bookkeeper, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Bookkeeper{cfg: cfg, metrics: newMetrics()}, nil
}

// Retain is how long the page of a session without grants is to be kept.
func (b *Bookkeeper) Retain() time.Duration { return b.cfg.Retain }

// Prepare makes a Total, which may be zero, and a Page those of this day and month.
func (b *Bookkeeper) Prepare(t *Total, p *Page) {
	_, _ = b.Do(t, p, func(*Ledger) error { return nil })
}

// Do has f do something with a Ledger that has these accounts and no others, and writes back
// what became of them, also if f fails. It returns the events. The page may be a new session's
// afterwards, or none.
func (b *Bookkeeper) Do(t *Total, p *Page, f func(*Ledger) error) ([]Event, error) {
	l := &Ledger{cfg: b.cfg, metrics: b.metrics, events: make(chan Event, 3*int(levels)), sessions: map[string]*session{}, grants: map[string]*grant{}}
	now := time.Now().UTC()
	l.loadTotal(t, now)
	if p.ID != "" {
		if err := l.loadPage(p); err != nil {
			return nil, err
		}
	}
	l.roll(now)
	err := f(l)
	l.storeTotal(t)
	*p = Page{}
	for _, s := range l.sessions { // one at the most
		*p = l.page(s)
	}
	var events []Event
	for len(l.events) > 0 {
		events = append(events, <-l.events)
	}
	return events, err
}

func (l *Ledger) loadTotal(t *Total, now time.Time) {
	if t.DayEnds.IsZero() {
		l.day, l.month = newAccount(l.cfg.Day.amount()), newAccount(l.cfg.Month.amount())
		l.dayEnds, l.monthEnds = periods(now)
		return
	}
	l.day, l.month = t.Day.account(), t.Month.account()
	l.dayEnds, l.monthEnds = t.DayEnds, t.MonthEnds
	for a, limit := range map[*account]amount{&l.day: l.cfg.Day.amount(), &l.month: l.cfg.Month.amount()} {
		if a.limit != limit { // the configuration is another than it was
			a.resize(limit)
		}
	}
}

func (l *Ledger) storeTotal(t *Total) {
	*t = Total{DayEnds: l.dayEnds, MonthEnds: l.monthEnds, Day: l.day.stored(), Month: l.month.stored()}
}

func (l *Ledger) loadPage(p *Page) error {
	s := &session{account: p.Account.account(), id: p.ID, daily: p.Daily, members: map[string]*member{}, idle: p.Idle}
	for _, m := range p.Members {
		s.members[m.ID] = &member{account: m.Account.account(), id: m.ID, declared: m.Declared}
	}
	for _, g := range p.Grants {
		m := s.members[g.Member]
		if m == nil || g.ID == "" {
			return fmt.Errorf("load session: a grant without a member: %w", ErrCorrupt)
		}
		l.grants[g.ID] = &grant{
			account: g.Account.account(), id: g.ID, session: s, member: m, provider: g.Provider, price: price(g.Price),
			outstanding: g.Outstanding, rest: g.Rest, reserved: g.Reserved, reported: g.Reported, starved: g.Starved, closed: g.Closed,
		}
		s.grants++
		m.grants++
	}
	l.sessions[p.ID] = s
	if p.DayEnds.Before(l.dayEnds) { // a day began since it was looked at
		l.rollSession(s)
	}
	return nil
}

func (l *Ledger) page(s *session) Page {
	p := Page{ID: s.id, Daily: s.daily, DayEnds: l.dayEnds, Account: s.stored(), Idle: s.idle}
	for _, m := range s.members {
		p.Members = append(p.Members, PageMember{ID: m.id, Account: m.stored(), Declared: m.declared})
	}
	for _, g := range l.grants {
		p.Grants = append(p.Grants, PageGrant{
			ID: g.id, Member: g.member.id, Provider: g.provider, Price: int64(g.price), Account: g.stored(),
			Outstanding: g.outstanding, Rest: g.rest, Reserved: g.reserved, Reported: g.reported, Starved: g.starved, Closed: g.closed,
		})
	}
	return p
}

func (a Account) account() account {
	return account{limit: a.Cap.in(), left: a.Left.in(), spent: a.Spent.in(), leased: a.Leased.in(), warned: a.Warned, cut: a.Cut}
}

func (a *account) stored() Account {
	return Account{Cap: a.limit.out(), Left: a.left.out(), Spent: a.spent.out(), Leased: a.leased.out(), Warned: a.warned, Cut: a.cut}
}

// Status is the account's, as Ledger.Status has it.
func (a Account) Status() Status {
	of := a.account()
	return of.status()
}

// Finish takes a closed grant out, when its provider was asked about it for the last time.
func (l *Ledger) Finish(grantID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g, ok := l.grants[grantID]; ok && !g.closed.IsZero() {
		l.remove(g, time.Now())
	}
}

// Exhausted says whether an account of an open grant's chain is spent.
func (l *Ledger) Exhausted(grantID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, ok := l.grants[grantID]
	if !ok || !g.closed.IsZero() {
		return false
	}
	for _, a := range l.accounts(g) {
		if a.exhausted() {
			return true
		}
	}
	return false
}
