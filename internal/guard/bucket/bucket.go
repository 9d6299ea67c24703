// Package bucket holds token buckets by key in a table that never grows beyond its bound.
//
// A bucket is one number, the time at which it is full again (GCRA), so taking needs no timer
// and a bucket that is full can be forgotten without anybody noticing. That is how the table
// stays small: a new key takes the place of one whose buckets are full. Under an attack from n new
// keys a second, each of which takes one token that comes back after Every, n × Every
// places are in use, however long it lasts.
//
// Policy when a shard of the table has no place to give: its new keys share one bucket, the
// crowd. So whoever has a place keeps it, newcomers are slowed down together, and nobody
// is refused for ever.
package bucket

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is how a bucket fills: Burst tokens at most, one more each Every. The zero Rate
// limits nothing.
type Rate struct {
	Burst int
	Every time.Duration
}

// Scaled returns a rate f times as generous; none if f is 0.
func (r Rate) Scaled(f float64) Rate {
	if f <= 0 || r.Burst == 0 {
		return Rate{}
	}
	return Rate{max(1, int(float64(r.Burst)*f)), max(1, time.Duration(float64(r.Every)/f))}
}

// take returns the new time at which a bucket is full, from the old one and now; or how long there
// is to wait for a token.
func (r Rate) take(full, now int64) (newFull int64, wait time.Duration) {
	full = max(full, now)
	if early := full - now - int64(r.Burst-1)*int64(r.Every); early > 0 {
		return full, time.Duration(early)
	}
	return full + int64(r.Every), 0
}

// One is a bucket for all, without a lock.
type One struct {
	rate  Rate
	start time.Time
	full  atomic.Int64
}

// NewOne makes a bucket that is full.
func NewOne(r Rate) *One { return &One{rate: r, start: time.Now()} }

// Take takes a token, or returns how long there is to wait for one.
func (o *One) Take(now time.Time) (wait time.Duration) {
	if o.rate.Burst == 0 {
		return 0
	}
	at := int64(now.Sub(o.start))
	for {
		old := o.full.Load()
		full, wait := o.rate.take(old, at)
		if wait > 0 {
			return wait
		}
		if o.full.CompareAndSwap(old, full) {
			return 0
		}
	}
}

// Kinds is how many buckets a key has at most.
const Kinds = 8

// shards divide the table, so that cores don't wait for each other.
const shards = 64

// probes is how many places a new key looks at for one to take over.
const probes = 8

// Table is buckets by key. It is safe for concurrent use.
type Table struct {
	rates [Kinds]Rate
	start time.Time
	seed  maphash.Seed
	parts [shards]shard
	most  int // places of a shard
}

type shard struct {
	mu     sync.Mutex
	index  map[uint64]uint32
	places []place
	hand   int // where the next probe begins
	crowd  [Kinds]int64
	_      [24]byte // two shards in one cache line would be one again
}

type place struct {
	key  uint64
	full [Kinds]int64
}

// New makes a table for up to about that many keys, with the rates of their kinds.
func New(keys int, rates [Kinds]Rate) *Table {
	t := &Table{rates: rates, start: time.Now(), seed: maphash.MakeSeed(), most: max(1, keys/shards)}
	for i := range t.parts {
		t.parts[i].index = map[uint64]uint32{}
	}
	return t
}

// Take takes a token of the key's bucket of a kind, or returns how long there is to wait for one.
func (t *Table) Take(key uint64, kind int, now time.Time) (wait time.Duration) {
	r := t.rates[kind]
	if r.Burst == 0 {
		return 0
	}
	at := int64(now.Sub(t.start))
	s := &t.parts[maphash.Comparable(t.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.find(key, at, t.most)
	full[kind], wait = r.take(full[kind], at)
	return wait
}

// find returns the buckets of key, in a place of their own if there is one to be had.
func (s *shard) find(key uint64, now int64, most int) *[Kinds]int64 {
	if i, ok := s.index[key]; ok {
		return &s.places[i].full
	}
	if len(s.places) > 0 { // before growing: most places are free soon
		for range min(probes, len(s.places)) {
			s.hand = (s.hand + 1) % len(s.places)
			if p := &s.places[s.hand]; idle(&p.full, now) {
				delete(s.index, p.key)
				*p = place{key: key}
				s.index[key] = uint32(s.hand)
				return &p.full
			}
		}
	}
	if len(s.places) >= most {
		return &s.crowd
	}
	s.index[key] = uint32(len(s.places))
	s.places = append(s.places, place{key: key})
	return &s.places[len(s.places)-1].full
}

func idle(full *[Kinds]int64, now int64) bool {
	for _, f := range full {
		if f > now {
			return false
		}
	}
	return true
}

// Len is how many keys have a place.
func (t *Table) Len() int {
	n := 0
	for i := range t.parts {
		s := &t.parts[i]
		s.mu.Lock()
		n += len(s.places)
		s.mu.Unlock()
	}
	return n
}
