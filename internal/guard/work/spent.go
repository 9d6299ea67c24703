package work

import (
	"sync"
	"time"
)

// Spent remembers used challenges until they have expired, so that a solution is good for
// one request. It holds two generations of Life each, and forgets the older one.
//
// Policy when a generation is full: no further solution is accepted till the next one begins. To
// fill it, an attacker has to do the work that often.
type Spent struct {
	life time.Duration
	most int // of a generation

	mu       sync.Mutex
	began    time.Time // of the newer generation
	old, new map[[challengeSize - headSize]byte]struct{}
}

// NewSpent makes a Spent for challenges that live for life at most.
func NewSpent(life time.Duration, most int) *Spent {
	return &Spent{life: life, most: most, began: time.Now(), new: map[[challengeSize - headSize]byte]struct{}{}}
}

// Use takes note of a proof. It says no if that was used already, or can't be noted.
func (s *Spent) Use(p Proof, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.began); age >= s.life {
		s.old, s.new, s.began = s.new, map[[challengeSize - headSize]byte]struct{}{}, now
		if age >= 2*s.life {
			s.old = nil
		}
	}
	if _, used := s.old[p.ID]; used {
		return false
	}
	if _, used := s.new[p.ID]; used || len(s.new) >= s.most {
		return false
	}
	s.new[p.ID] = struct{}{}
	return true
}
