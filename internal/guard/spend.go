package guard

import (
	"sync"
	"sync/atomic"
	"time"
)

// Purse is the money of a day and a month (UTC), which package budget keeps. Its methods are
// called concurrently and return at once.
//
// Take takes up to want millionths of the currency, at least 1, for good; it fails if there is nothing
// left. State says how things stand.
type Purse interface {
	Take(want int64) (granted int64, err error)
	State() State
}

// State is how much of the caps is used. A cap that is not set has 0 used.
type State struct {
	Day, Month           float64 // shares of the caps in money, 0 to 1 and beyond
	DayBytes, MonthBytes float64 // of those in bytes, which concern the relay only
	Cap                  int64   // the smaller cap in money, in millionths; 0: none
}

// stage is what of the service has ended.
type stage uint32

const (
	allOn stage = iota
	relayOff
	sessionsOff
)

// spend is the money that was taken from the purse and not yet used, and the stage.
type spend struct {
	purse      Purse // nil: nothing is capped
	relayAt    float64
	sessionsAt float64
	free       bool // nothing but the relay has a price

	left   atomic.Int64 // 10⁻¹² of the currency
	mu     sync.Mutex   // while money is taken
	stage  atomic.Uint32
	ends   atomic.Int64 // when the period ends that the stage is because of, Unix seconds
	looked atomic.Int64 // when the state was looked at last, Unix milliseconds
}

// lookEvery is how long a look at the purse counts.
const lookEvery = 250 * time.Millisecond

// perMillionth is how many 10⁻¹² are a millionth.
const perMillionth = 1_000_000

// now returns the stage, and when it ends if the money lasts no longer.
func (s *spend) now(now time.Time) (stage, time.Time) {
	if s.purse == nil {
		return allOn, time.Time{}
	}
	if ms, last := now.UnixMilli(), s.looked.Load(); ms-last >= lookEvery.Milliseconds() || ms < last {
		if s.looked.CompareAndSwap(last, ms) { // one looks
			s.look(now)
		}
	}
	return stage(s.stage.Load()), time.Unix(s.ends.Load(), 0)
}

func (s *spend) look(now time.Time) {
	st := s.purse.State()
	day, month := ends(now)
	at, until := allOn, day
	for _, p := range []struct {
		money, bytes float64
		ends         time.Time
	}{{st.Day, st.DayBytes, day}, {st.Month, st.MonthBytes, month}} {
		is := allOn
		switch {
		case p.money >= s.sessionsAt && !s.free:
			is = sessionsOff
		case max(p.money, p.bytes) >= s.relayAt:
			is = relayOff
		}
		if is >= at && is > allOn {
			at, until = is, p.ends
		}
	}
	s.ends.Store(until.Unix())
	s.stage.Store(uint32(at))
}

// ends returns when the UTC day and month end.
func ends(now time.Time) (day, month time.Time) {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
}

// pay takes the price of something, in 10⁻¹² of the currency. It says no if there is no money.
func (s *spend) pay(cost int64) bool {
	if s.purse == nil || cost == 0 || s.left.Add(-cost) >= 0 {
		return true
	}
	s.left.Add(cost)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.left.Add(-cost) < 0 { // others may have been faster
		s.left.Add(cost)
		want := (cost + perMillionth - 1) / perMillionth
		if n, err := s.purse.Take(max(want, chunk(s.purse.State().Cap))); err == nil {
			s.left.Add(n * perMillionth)
			if n < want && s.left.Load() < cost { // the last of it is not enough
				return false
			}
			continue
		}
		return false
	}
	return true
}

// chunk is how much is taken at a time: a thousandth of the cap, as that much is lost with a
// crash, and at most a thousandth of the currency's unit.
func chunk(limit int64) int64 {
	if limit == 0 { // there is none
		return 1000
	}
	return min(max(limit/1024, 1), 1000)
}
