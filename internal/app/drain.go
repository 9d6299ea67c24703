package app

import (
	"context"
	"net/http"
	"sync"
)

// requests counts the requests that are being answered, so that a drain can wait for
// them while the server still listens, and probes still find /readyz.
type requests struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil unless somebody waits
}

// count returns next, with its requests counted.
func (q *requests) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.add(1)
		defer q.add(-1)
		next.ServeHTTP(w, r)
	})
}

func (q *requests) add(d int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n += d; q.n == 0 && q.none != nil {
		close(q.none)
		q.none = nil
	}
}

// wait returns when no request is being answered, or ctx ends. One waiter at a time.
func (q *requests) wait(ctx context.Context) {
	q.mu.Lock()
	if q.n == 0 {
		q.mu.Unlock()
		return
	}
	none := make(chan struct{})
	q.none = none
	q.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
