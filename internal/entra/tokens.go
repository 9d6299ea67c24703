package entra

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Fetch gets a token from its issuer.
type Fetch func(ctx context.Context) (token string, expires time.Time, err error)

// Tokens holds one token. It is safe for concurrent use.
type Tokens struct {
	fetch Fetch

	mu      sync.Mutex
	token   string
	fetched time.Time
	expires time.Time
	running chan struct{} // closed when a fetch has ended; nil: there is none
	failed  error         // of the last fetch
	next    time.Time     // no fetch before, after a failure
}

const (
	fetchTimeout = 30 * time.Second
	fetchPause   = 15 * time.Second // after a failure
	// endMargin is how long a token must be good for to be sent.
	endMargin = 30 * time.Second
)

// NewTokens makes Tokens that fetch by f when they are asked.
func NewTokens(f Fetch) *Tokens { return &Tokens{fetch: f} }

// Token returns a token that is good for a moment at least. In the second half of a token's life
// the next one is fetched beside the callers, who get the old one meanwhile; they wait only when
// there is none.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		now := time.Now()
		good := t.token != "" && now.Before(t.expires.Add(-endMargin))
		early := t.fetched.Add(t.expires.Sub(t.fetched) / 2)
		if (!good || !now.Before(early)) && t.running == nil && !now.Before(t.next) {
			t.running = make(chan struct{})
			go t.renew(context.WithoutCancel(ctx), t.running) // ends within fetchTimeout
		}
		if good {
			defer t.mu.Unlock()
			return t.token, nil
		}
		running, failed := t.running, t.failed
		t.mu.Unlock()
		if running == nil {
			return "", failed
		}
		select {
		case <-running:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (t *Tokens) renew(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	token, expires, err := t.fetch(ctx)
	if err == nil && (token == "" || !time.Now().Before(expires.Add(-endMargin))) {
		err = errors.New("the issuer gave a token that is over")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(done)
	t.running, t.failed = nil, err
	if err != nil {
		t.next = time.Now().Add(fetchPause)
		return
	}
	t.token, t.fetched, t.expires = token, time.Now(), expires
}
