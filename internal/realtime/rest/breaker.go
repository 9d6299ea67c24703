package rest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// breaker keeps calls from an upstream that has failed threshold times in a row.
// After cooldown it lets one call through: if that succeeds the breaker closes,
// else it stays open for another cooldown.
type breaker struct {
	threshold int
	cooldown  time.Duration

	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // when an open breaker lets a probe through; zero: closed
	probing  bool
}

// blocked says whether a call would be refused now. It claims nothing.
func (b *breaker) blocked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero() && (b.probing || time.Now().Before(b.until))
}

// allow says whether a call may be made. Whoever may must call record or abandon.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if b.probing || time.Now().Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// record notes how a call ended, and says whether the breaker opened or closed by it.
func (b *breaker) record(ok bool) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if ok {
		closed = !b.until.IsZero()
		b.failures, b.until = 0, time.Time{}
		return false, closed
	}
	b.failures++
	if b.failures < b.threshold {
		return false, false
	}
	opened = b.until.IsZero()
	b.until = time.Now().Add(b.cooldown)
	return opened, false
}

// abandon gives back the right to call, without a verdict.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// limiter bounds concurrent calls, and those that wait for a slot. Waiters get
// theirs in the order in which they came.
type limiter struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

var errQueueFull = errors.New("queue full")

func (l *limiter) acquire(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return errQueueFull
	}
	defer l.waiting.Add(-1)
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *limiter) release() { <-l.slots }
