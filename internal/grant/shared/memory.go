package shared

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a Store for one process. It forgets everything when that ends; credentials
// then end by themselves.
type Memory struct {
	mu      sync.Mutex
	pairs   map[string]Pair
	buckets map[string]time.Time // when they are full
}

const (
	maxMemoryPairs   = 1 << 17
	maxMemoryBuckets = 1 << 17
)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{pairs: map[string]Pair{}, buckets: map[string]time.Time{}}
}

// Claim implements Store.
func (m *Memory) Claim(_ context.Context, p Pair) (Pair, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.pairs[p.ID]; ok {
		return there, false, nil
	}
	if len(m.pairs) >= maxMemoryPairs {
		return Pair{}, false, errFull
	}
	m.pairs[p.ID] = p
	return p, true, nil
}

// Update implements Store.
func (m *Memory) Update(_ context.Context, p Pair) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	there, ok := m.pairs[p.ID]
	if !ok || !there.Made.Equal(p.Made) {
		return false, nil
	}
	m.pairs[p.ID] = p
	return true, nil
}

// List implements Store.
func (m *Memory) List(_ context.Context, f Filter, limit int) ([]Pair, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.ID != "" {
		if p, ok := m.pairs[f.ID]; ok {
			return []Pair{p}, nil
		}
		return nil, nil
	}
	var found []Pair
	for _, p := range m.pairs {
		if (f.Session == "" || p.Session == f.Session) && (f.Peer == "" || slices.Contains(p.Members[:], f.Peer)) && (f.Before.IsZero() || p.Seen.Before(f.Before)) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Pair) int { return cmp.Or(a.Seen.Compare(b.Seen), cmp.Compare(a.ID, b.ID)) })
	return found[:min(limit, len(found))], nil
}

// End implements Store.
func (m *Memory) End(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.pairs[id]
	delete(m.pairs, id)
	return ok, nil
}

// Take implements Store.
func (m *Memory) Take(_ context.Context, bucket string, now time.Time, burst int, every time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	full, ok := m.buckets[bucket]
	if !ok && len(m.buckets) >= maxMemoryBuckets {
		maps.DeleteFunc(m.buckets, func(_ string, full time.Time) bool { return !full.After(now) })
		if len(m.buckets) >= maxMemoryBuckets {
			return false, nil
		}
	}
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > time.Duration(burst-1)*every {
		return false, nil
	}
	m.buckets[bucket] = full.Add(every)
	return true, nil
}
