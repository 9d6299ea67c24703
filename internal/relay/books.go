package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"causeway/internal/relay/credential"
	"causeway/internal/relay/grants"
)

// Grant, ICEAuth and Ledger are package grants', for those who only use a Server.
type (
	Grant   = grants.Grant
	ICEAuth = grants.ICEAuth
	Ledger  = grants.Ledger
)

var (
	errMoved = errors.New("grant belongs to another member")
	errFull  = errors.New("too many grants, or the relay has ended")
	errNoKey = errors.New("relay has no grant key")
)

// ErrNoGrant: a grant is not live. Its member needs a new one.
var ErrNoGrant = errors.New("no such grant")

// Causes for which a grant ends.
const (
	causeDeleted  = "deleted"
	causeExpired  = "expired"
	causeSpent    = "spent"
	causeShutdown = "shutdown"
)

const (
	firstLease    = 64 << 10 // bytes, so that a new grant's first packets do not wait
	leasers       = 4        // goroutines that ask the ledger, so that one slow answer holds up few
	ledgerTimeout = 5 * time.Second
	bookEvery     = time.Second
)

// Put makes a grant live, or replaces one of the same member. It asks the ledger for the
// first bytes, and fails with grants.ErrSpent (wrapped) if there are none. A grant that has ended
// already is an error.
func (s *Server) Put(g Grant) error {
	if len(s.cfg.GrantKey) == 0 {
		return fmt.Errorf("put grant: %w", errNoKey)
	}
	if _, _, err := credential.MintGrant(s.cfg.GrantKey, s.cfg.NodeKID, g.ID, s.cfg.Realm, g.Until); err != nil {
		return fmt.Errorf("put grant: id: %w", err)
	}
	if g.Session == "" || g.Member == "" || g.Session == restSession {
		return errors.New("put grant: without session or member")
	}
	if !s.cfg.now().Before(g.End()) {
		return errors.New("put grant: it has ended")
	}
	if s.table.member(g.ID) != nil {
		_, err := s.table.join(g, false, nil)
		return err
	}
	account := s.newAccount(g.ID)
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
	defer cancel()
	if err := account.Lease(ctx, firstLease); errors.Is(err, grants.ErrSpent) {
		return fmt.Errorf("put grant: %w", err)
	} else if err != nil {
		s.cfg.Logger.Warn("no lease for a new grant yet", "err", err)
	}
	m, err := s.table.join(g, false, account)
	if err != nil || m.account != account { // somebody else was faster
		return errors.Join(err, account.Close(ctx, account.Kill()))
	}
	return nil
}

// Renew moves the end of a grant, within its NotAfter, and replaces what its member's ICE agent
// goes by, unless ice is empty. It fails for a grant that is not live: what has ended is put again.
func (s *Server) Renew(id string, until time.Time, ice []ICEAuth) error {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	m := s.table.grants[id]
	if m == nil || m.rest {
		return fmt.Errorf("renew grant: %w", ErrNoGrant)
	}
	m.grant.Until = until
	if len(ice) > 0 && !slices.Equal(ice, m.grant.ICE) {
		m.grant.ICE = slices.Clone(ice)
		m.session.changed()
	}
	return nil
}

// Outlive lets grants live for d beyond their end, within their NotAfter: for a node whose control plane
// can't be reached. With 0, what has ended ends within a second.
func (s *Server) Outlive(d time.Duration) { s.table.slack.Store(int64(d)) }

// end is when a grant ends as things are.
func (t *table) end(g *Grant) time.Time {
	end := g.Until.Add(time.Duration(t.slack.Load()))
	if !g.NotAfter.IsZero() && g.NotAfter.Before(end) {
		return g.NotAfter
	}
	return end
}

// Delete ends a grant: its data path is dead when Delete returns.
func (s *Server) Delete(id string) {
	if m := s.table.member(id); m != nil && !m.rest {
		s.end(m, causeDeleted)
	}
}

// Credential returns what a member's client authenticates by for the grant id. What it says
// about the end is for the client's information only; the grant decides.
func (s *Server) Credential(id string, expires time.Time) (username, password string, err error) {
	if len(s.cfg.GrantKey) == 0 {
		return "", "", fmt.Errorf("mint credential: %w", errNoKey)
	}
	return credential.MintGrant(s.cfg.GrantKey, s.cfg.NodeKID, id, s.cfg.Realm, expires)
}

// seldom keeps what packets could cause from filling the log.
type seldom struct{ last atomic.Int64 }

// due is true once a minute.
func (s *seldom) due(now time.Time) bool {
	last := s.last.Load()
	return now.UnixNano()-last >= int64(time.Minute) && s.last.CompareAndSwap(last, now.UnixNano())
}

// end kills a grant and what was made with it.
func (s *Server) end(m *member, cause string) {
	s.table.mu.Lock()
	dead := m.dead
	cut := s.table.killLocked(m)
	s.table.mu.Unlock()
	if dead {
		return
	}
	s.metrics.end(cause)
	for _, a := range cut {
		s.dropped(a, true)
	}
}

// ask has m's lease filled if it is half empty. It does not wait.
func (s *Server) ask(m *member) {
	if !m.account.Low() {
		return
	}
	select {
	case s.asks <- m:
	default: // the next packet asks again
		m.account.Deferred()
	}
}

// lease fills leases that were asked for.
func (s *Server) lease(ctx context.Context) error {
	for {
		select {
		case m := <-s.asks:
			lctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
			err := m.account.Lease(lctx, math.MaxInt64)
			cancel()
			if err != nil && !errors.Is(err, grants.ErrSpent) && ctx.Err() == nil {
				if s.complained.due(s.cfg.now()) {
					s.cfg.Logger.Warn("ledger gives no lease", "err", err)
				}
				pause(ctx) // whoever is out of bytes asks at each packet
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// keepBooks tells the ledger what was delivered, every settleEvery, and of accounts that
// have ended within a second.
func (s *Server) keepBooks(ctx context.Context) error {
	t := time.NewTicker(bookEvery)
	defer t.Stop()
	var settled time.Time
	for {
		select {
		case now := <-t.C:
			s.closeAccounts(ctx)
			if now.Sub(settled) >= settleEvery {
				settled = now
				s.settle(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) settle(ctx context.Context) {
	for _, m := range s.table.members() {
		sctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
		err := m.account.Settle(sctx)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("ledger does not take a report", "err", err)
			return // they wait for the next time
		}
	}
}

func (s *Server) closeAccounts(ctx context.Context) {
	for _, c := range s.table.takeClosing() {
		cctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
		err := c.account.Close(cctx, c.left)
		cancel()
		if err != nil {
			s.table.retry(c)
		}
	}
}

// closeBooks is the last report, when nothing is delivered any more. What the ledger does
// not take stays leased, which counts as spent.
func (s *Server) closeBooks() {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
	defer cancel()
	s.closeAccounts(ctx)
	if n := len(s.table.takeClosing()); n > 0 {
		s.cfg.Logger.Warn("leases were not given back", "grants", n)
	}
}

// sweep ends what has run out.
func (s *Server) sweep(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	var looked time.Time
	for {
		select {
		case now := <-t.C:
			s.sweepOnce()
			if now.Sub(looked) >= publicTTL {
				looked = now
				if s.public.refresh() {
					s.table.rejudge()
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Server) sweepOnce() {
	now, clock := s.cfg.now(), s.clock()
	var ended []*member
	var over []*allocation
	s.table.mu.Lock()
	for _, m := range s.table.grants {
		if !m.rest && !now.Before(s.table.end(&m.grant)) {
			ended = append(ended, m)
		}
	}
	for a := range s.table.all {
		if a.until.Load() <= clock {
			over = append(over, a)
		}
	}
	s.table.mu.Unlock()
	for _, m := range ended {
		s.end(m, causeExpired)
	}
	for _, a := range over {
		s.drop(a)
	}
}

// rejudge makes every peer be judged anew.
func (t *table) rejudge() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sessions {
		s.changed()
	}
}
