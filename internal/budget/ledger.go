package budget

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"
)

const (
	// maxOutstanding is how much one grant can have leased at once.
	maxOutstanding = 1 << 30
	// minLease: towards the end of an account, leases get smaller, so that the rest is
	// not stranded with one of several; but not smaller than this.
	minLease = 64 << 10
	// maxReport bounds what anybody can claim to have relayed; sums of it fit.
	maxReport = 1 << 50
)

// Chain says which accounts a grant spends from, besides the day's and the month's.
type Chain struct {
	Session string
	Member  string // unique in the session
	// Price is the name of the price in Config.Prices, and of the provider in Config.Usage;
	// empty for the built-in relay.
	Price string
	// Daily is the session's cap if it has one of its own, which is full again with each UTC
	// day, and which each of its members may spend. The zero Cap: as configured, and for good.
	Daily Cap
}

// Open makes the account of a credential. declared is the size of what the member is going
// to transfer, in bytes; 0 if it doesn't say. What members declared tightens the
// session's budget. A second Open for an open grant only adds to what is declared. It fails with ErrFull, with
// ErrSpent if there is nothing to spend, with ErrShort (and ErrSpent) if there is less than was declared, and if the chain has no names.
func (l *Ledger) Open(grantID string, c Chain, declared int64) error {
	p, priced := l.cfg.Prices[c.Price]
	switch {
	case grantID == "" || c.Session == "" || c.Member == "":
		return errors.New("open grant: a name is missing")
	case declared < 0 || c.Daily.Bytes < 0 || c.Daily.Money < 0:
		return errors.New("open grant: the declared size or the daily cap is negative")
	case !priced && c.Price != "":
		return fmt.Errorf("open grant: there is no price of %q", c.Price)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	declared = min(declared, maxReport)
	if g, ok := l.grants[grantID]; ok {
		if !g.closed.IsZero() || g.session.id != c.Session || g.member.id != c.Member || g.provider != c.Price {
			return errors.New("open grant: it is open with another chain")
		}
		if err := l.fits(g.session, declared); err != nil {
			return fmt.Errorf("open grant: %w", err)
		}
		l.declare(g.session, g.member, declared)
		return nil
	}
	g, err := l.admit(grantID, c, declared)
	if err != nil {
		return fmt.Errorf("open grant: %w", err)
	}
	g.price = price(p)
	g.session.grants++
	g.member.grants++
	l.grants[grantID] = g
	return nil
}

// Admits returns the error that Open would return for a new credential, for those whom making one costs
// something. It takes note of what is declared, as Open does.
func (l *Ledger) Admits(c Chain, declared int64) error {
	if c.Session == "" || c.Member == "" || declared < 0 {
		return errors.New("admit: a name is missing, or the declared size is negative")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	g, err := l.admit("", c, min(declared, maxReport))
	if err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	l.forget(g.session, g.member, time.Now())
	return nil
}

// admit makes a grant that is not open yet, or says why not. Who doesn't open it has to forget its session and member.
func (l *Ledger) admit(id string, c Chain, declared int64) (*grant, error) {
	if err := l.room(c); err != nil {
		l.metrics.refuse(refusedFull)
		return nil, err
	}
	s, m := l.chain(c)
	if err := l.fits(s, declared); err != nil {
		l.forget(s, m, time.Now())
		return nil, err
	}
	l.declare(s, m, declared)
	g := &grant{account: newAccount(l.cfg.Credential.amount()), id: id, session: s, member: m, provider: c.Price}
	for level, a := range l.accounts(g) {
		if a.exhausted() {
			l.tell(Cut, Level(level), g)
			l.metrics.refuse(refusedSpent[level])
			l.forget(s, m, time.Now())
			return nil, fmt.Errorf("%s: %w", Level(level), ErrSpent)
		}
	}
	return g, nil
}

// room says whether there is a place for a grant of c.
func (l *Ledger) room(c Chain) error {
	s := l.sessions[c.Session]
	if len(l.grants) >= l.cfg.Limits.Grants || s == nil && len(l.sessions) >= l.cfg.Limits.Sessions {
		return ErrFull
	}
	if s != nil && s.members[c.Member] == nil && len(s.members) >= l.cfg.Limits.Members {
		return ErrFull
	}
	return nil
}

// chain finds or makes the accounts of a session and a member.
func (l *Ledger) chain(c Chain) (*session, *member) {
	s := l.sessions[c.Session]
	if s == nil {
		s = &session{id: c.Session, daily: c.Daily, members: map[string]*member{}}
		s.account = newAccount(l.sessionLimit(s))
		l.sessions[c.Session] = s
	}
	m := s.members[c.Member]
	if m == nil {
		m = &member{account: newAccount(l.memberLimit(s, 0)), id: c.Member}
		s.members[c.Member] = m
	}
	return s, m
}

// sessionLimit is what a session may spend if its members declare nothing.
func (l *Ledger) sessionLimit(s *session) amount {
	if s.daily == (Cap{}) {
		return l.cfg.Session.amount()
	}
	limit := amount{Unlimited, Unlimited}
	if s.daily.Bytes > 0 {
		limit.bytes = s.daily.Bytes
	}
	if s.daily.Money > 0 {
		limit.money = s.daily.Money
	}
	return limit
}

// memberLimit is a share of what sessions may spend, for members for whom no transfer was declared: so none of them
// uses up what is for all. For the others it is all that the session may spend, which the declaration
// narrows: where only one side needs the relay, one member spends it all.
func (l *Ledger) memberLimit(s *session, declared int64) amount {
	limit := s.limit
	if s.daily != (Cap{}) || declared > 0 {
		return limit
	}
	limit.bytes = min(limit.bytes, portion(l.cfg.Session.Bytes, l.cfg.MemberShare))
	if l.cfg.Session.Money != Unlimited {
		limit.money = min(limit.money, portion(l.cfg.Session.Money, l.cfg.MemberShare))
	}
	return limit
}

// portion is n·percent/100, without overflow; Unlimited stays so.
func portion(n int64, percent int) int64 {
	if n == Unlimited {
		return n
	}
	hi, lo := bits.Mul64(uint64(n), uint64(percent))
	if hi >= 100 {
		return Unlimited
	}
	q, _ := bits.Div64(hi, lo, 100)
	return int64(min(q, Unlimited))
}

// declare takes note of what a member wants to transfer, the most it ever said, and resizes the
// accounts of the session.
func (l *Ledger) declare(s *session, m *member, size int64) {
	if size > m.declared {
		m.declared = size
	}
	var sum int64
	for _, m := range s.members {
		sum += min(m.declared, Unlimited-sum)
	}
	limit := l.sessionLimit(s)
	if sum > 0 {
		if want := portion(sum, l.cfg.DeclaredPercent); want < limit.bytes-min(limit.bytes, l.cfg.Allowance) {
			limit.bytes = want + l.cfg.Allowance
		}
	}
	s.resize(limit)
	for _, m := range s.members {
		m.resize(l.memberLimit(s, m.declared))
	}
}

// Declare is a second Open for an open grant: it only adds to what is declared.
func (l *Ledger) Declare(grantID string, declared int64) error {
	l.mu.Lock()
	g, ok := l.grants[grantID]
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("declare: %w", ErrUnknown)
	}
	return l.Open(grantID, Chain{Session: g.session.id, Member: g.member.id, Price: g.provider}, declared)
}

// fits says whether a transfer that is declared can pass, whatever others still take: what can't is refused at
// once, rather than cut when most of it has been paid for.
func (l *Ledger) fits(s *session, declared int64) error {
	want := portion(declared, l.cfg.DeclaredPercent)
	for level, a := range map[Level]account{
		Session: {limit: l.sessionLimit(s), spent: s.spent}, Day: l.day, Month: l.month, // a session's own limit may be that of a smaller transfer
	} {
		if declared > 0 && want > a.limit.bytes-a.spent.bytes {
			l.metrics.refuse(refusedSpent[level])
			return fmt.Errorf("%s: %w (%w)", level, ErrShort, ErrSpent)
		}
	}
	return nil
}

// accounts is the chain of g, by Level.
func (l *Ledger) accounts(g *grant) [levels]*account {
	return [levels]*account{&g.account, &g.member.account, &g.session.account, &l.day, &l.month}
}

// Lease asks for up to want bytes more, at least 1, for a grant. It may give less, and gives nothing
// with an error: ErrSpent if an account of the chain has nothing more than what this grant has leased
// already, or others have had the rest for 2 s; ErrBusy if the rest is leased to others, and may come back; ErrUnknown; or that of the
// file, which has to know first.
func (l *Ledger) Lease(ctx context.Context, grantID string, want int64) (granted int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("lease: %w", err)
	}
	if want <= 0 {
		return 0, errors.New("lease: nothing is wanted")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	g, ok := l.grants[grantID]
	if !ok || !g.closed.IsZero() {
		l.metrics.refuse(refusedUnknown)
		return 0, fmt.Errorf("lease: %w", ErrUnknown)
	}
	n, err := l.available(g, want)
	if err != nil {
		return 0, fmt.Errorf("lease: %w", err)
	}
	g.starved = time.Time{}
	x := amount{n, g.price.reserve(g.outstanding+n, g.rest) - g.reserved}
	if err := l.cover(x); err != nil { // before anything is given
		l.metrics.refuse(refusedFile)
		return 0, fmt.Errorf("lease: %w", err)
	}
	for _, a := range l.accounts(g) {
		a.lease(x)
	}
	g.outstanding += x.bytes
	g.reserved += x.money
	l.metrics.leases.Inc()
	l.metrics.leased.Add(float64(n))
	return n, nil
}

// available returns how much of want the chain has, at least 1.
func (l *Ledger) available(g *grant, want int64) (int64, error) {
	n := min(want, maxOutstanding-g.outstanding)
	busy, empty := n <= 0, levels
	for level, a := range l.accounts(g) {
		left := a.left.bytes
		if a.limit.money != Unlimited {
			left = min(left, g.price.affordable(g.outstanding, g.rest, a.left.money))
		}
		if left <= 0 {
			if a.leased.bytes <= g.outstanding { // nothing comes back from others
				if a.exhausted() {
					l.tell(Cut, Level(level), g)
				}
				l.metrics.refuse(refusedSpent[level])
				return 0, fmt.Errorf("%s: %w", Level(level), ErrSpent)
			}
			busy, empty = true, Level(level)
			continue
		}
		if left < 2*want && Level(level) != Credential {
			left = min(left, max(left/2, minLease))
		}
		n = min(n, left)
	}
	if !busy {
		return n, nil
	}
	if empty < levels && l.starves(g) {
		l.tell(Cut, empty, g)
		l.metrics.refuse(refusedSpent[empty])
		return 0, fmt.Errorf("%s: %w", empty, ErrSpent)
	}
	l.metrics.refuse(refusedBusy)
	return 0, ErrBusy
}

// starves tells whether g has asked in vain for some time. What is left then lies with grants
// that don't use it, and waiting for that would be a cut that nobody is told of.
func (l *Ledger) starves(g *grant) bool {
	now := time.Now()
	if g.starved.IsZero() {
		g.starved = now
	}
	return now.Sub(g.starved) >= starvation
}

// starvation is how long a grant waits for what others have leased.
const starvation = 2 * time.Second

// Settle reports, out of what was leased for a grant and since the last Settle: the bytes that
// were delivered, how many of them are charged money, and what is given back. More than was
// leased is counted all the same, and is an error, as is a grant that isn't open.
func (l *Ledger) Settle(ctx context.Context, grantID string, delivered, charged, returned int64) error {
	if delivered < 0 || returned < 0 || charged < 0 || charged > delivered || delivered > maxReport {
		return errors.New("settle: want 0 ≤ charged ≤ delivered, and 0 ≤ returned")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	g, ok := l.grants[grantID]
	if !ok || !g.closed.IsZero() {
		l.metrics.refuse(refusedUnknown)
		return fmt.Errorf("settle: %w", ErrUnknown) // it was counted as spent when it was closed
	}
	over := delivered > g.outstanding || returned > g.outstanding-delivered
	returned = min(returned, max(0, g.outstanding-delivered))
	err := l.spend(g, min(g.outstanding, delivered+returned), delivered, charged)
	l.metrics.settled(delivered, charged, returned)
	if over {
		l.metrics.refuse(refusedOverrun)
		err = errors.Join(errors.New("more than was leased"), err)
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// spend ends ended bytes of g's lease, and counts what was delivered instead. An error is
// that of the file, which then is behind.
func (l *Ledger) spend(g *grant, ended, delivered, charged int64) error {
	l.delivered += delivered
	money, rest := g.price.cost(charged, g.rest)
	g.outstanding, g.rest = g.outstanding-ended, rest
	reserved := g.price.reserve(g.outstanding, g.rest)
	freed := amount{ended, g.reserved - reserved}
	g.reserved = reserved
	for level, a := range l.accounts(g) {
		a.settle(freed, amount{delivered, money})
		switch {
		case a.exhausted():
			l.tell(Cut, Level(level), g)
		case a.nearly():
			l.tell(Warning, Level(level), g)
		}
	}
	return l.cover(amount{}) // needed for overdrafts only
}

// Delivered is how many bytes were delivered since New, or counted as such.
func (l *Ledger) Delivered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivered
}

// CloseGrant ends a grant: what is outstanding counts as spent, and as charged. Settle before. For
// a provider with a Usage, the account stays until it was asked once more. An unknown grant is no error.
func (l *Ledger) CloseGrant(grantID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.roll(now)
	g, ok := l.grants[grantID]
	if !ok || !g.closed.IsZero() {
		return
	}
	l.metrics.lost.Add(float64(g.outstanding))
	// What is reserved covers it, so this needs no file.
	_ = l.spend(g, g.outstanding, g.outstanding, g.outstanding)
	g.closed = now
	if l.cfg.Usage[g.provider] == nil {
		l.remove(g, now)
	}
}

// remove takes a closed grant out, and what only it kept.
func (l *Ledger) remove(g *grant, now time.Time) {
	if g.rest > 0 { // rounded up, once
		for _, a := range l.accounts(g) {
			a.settle(amount{0, g.reserved}, amount{0, g.reserved})
		}
		g.rest, g.reserved = 0, 0
	}
	delete(l.grants, g.id)
	g.session.grants--
	g.member.grants--
	l.forget(g.session, g.member, now)
}

// forget removes what has neither grants nor spent anything.
func (l *Ledger) forget(s *session, m *member, now time.Time) {
	if m.grants == 0 && m.spent == (amount{}) {
		delete(s.members, m.id)
	}
	if s.grants > 0 {
		return
	}
	s.idle = now
	if s.spent == (amount{}) {
		delete(l.sessions, s.id)
	}
}

// tell sends an event, once an account and kind; a Cut makes up for the Warning.
func (l *Ledger) tell(k Kind, level Level, g *grant) {
	a := l.accounts(g)[level]
	if a.cut || k == Warning && a.warned {
		return
	}
	a.warned, a.cut = true, k == Cut
	e := Event{Kind: k, Level: level}
	if level <= Session {
		e.Session = g.session.id
	}
	if level <= Member {
		e.Member = g.member.id
	}
	if level == Credential {
		e.Grant = g.id
	}
	select {
	case l.events <- e:
		l.metrics.events.WithLabelValues(level.String()).Inc()
	default: // nobody reads; the cut happens all the same
		l.metrics.refuse(droppedEvent)
	}
}
