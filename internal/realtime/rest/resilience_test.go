package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := webhook(t, WebhookConfig{Transport: transport(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })})
		begin := time.Now()
		got, err := w.InvokedRaw(t.Context(), ann, "json", "t", []byte(`{"type":1,"invocationId":"7","target":"t","arguments":[]}`), true)
		if err != nil || !strings.Contains(string(got), "status code 500") || time.Since(begin) != 100*time.Second {
			t.Errorf("%s %v after %s", got, err, time.Since(begin))
		}
		if n := testutil.ToFloat64(w.metrics.events.WithLabelValues(categoryMessages, string(reasonTimeout))); n != 1 {
			t.Error("the time-out was not counted")
		}
	})
}

// TestConcurrencyAndQueue: one request at a time and one that waits; the third fails.
func TestConcurrencyAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running, most := 0, 0
		w := webhook(t, WebhookConfig{Concurrency: 1, Queue: 1, Transport: transport(func(*http.Request) (*http.Response, error) {
			running++
			most = max(most, running)
			<-release
			running--
			return answer(200, "")
		})})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { w.Connected(t.Context(), ann) })
			synctest.Wait()
		}
		count := func(r reason) float64 {
			return testutil.ToFloat64(w.metrics.events.WithLabelValues(categoryConnections, string(r)))
		}
		if count(reasonQueueFull) != 1 {
			t.Error("the third was not refused")
		}
		close(release)
		all.Wait()
		if most != 1 || count(reasonOK) != 2 {
			t.Errorf("%d at a time, %v succeeded", most, count(reasonOK))
		}
	})
}

func TestQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := webhook(t, WebhookConfig{Concurrency: 1, Timeout: time.Minute, Transport: transport(func(r *http.Request) (*http.Response, error) { time.Sleep(2 * time.Minute); return answer(200, "") })})
		done := make(chan struct{})
		go func() { defer close(done); w.Connected(t.Context(), ann) }()
		synctest.Wait()
		w.Connected(t.Context(), ann)
		<-done
		if n := testutil.ToFloat64(w.metrics.events.WithLabelValues(categoryConnections, string(reasonQueueTimeout))); n != 1 {
			t.Error("waiting has no end")
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, calls := 503, 0
		w := webhook(t, WebhookConfig{BreakerFailures: 3, Transport: transport(func(*http.Request) (*http.Response, error) { calls++; return answer(status, "") })})
		call := func(n int) int {
			calls = 0
			for range n {
				w.Connected(t.Context(), ann)
			}
			return calls
		}
		if got := call(5); got != 3 {
			t.Errorf("%d calls until it opened", got)
		}
		time.Sleep(10 * time.Second)
		if got := call(3); got != 1 {
			t.Errorf("half open: %d calls", got)
		}
		// What one client can provoke must not shut the upstream off for others.
		status = 500
		time.Sleep(10 * time.Second)
		if got := call(5); got != 5 {
			t.Errorf("closed: %d calls", got)
		}
		// A reload without a change keeps the state.
		status = 503
		call(3)
		if err := w.Reload(t.Context(), []Template{{URL: "http://upstream/{hub}/{category}/{event}"}}); err != nil {
			t.Fatal(err)
		}
		if got := call(1); got != 0 {
			t.Errorf("after a reload: %d calls", got)
		}
		if n := testutil.ToFloat64(w.metrics.opened); n != 2 {
			t.Errorf("opened %v times", n)
		}
	})
}

// TestBreakerLetsOneThrough: half open, a second event does not become a second probe.
func TestBreakerLetsOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, calls := false, 0
		w := webhook(t, WebhookConfig{BreakerFailures: 1, Transport: transport(func(r *http.Request) (*http.Response, error) {
			calls++
			if slow {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answer(503, "")
		})})
		w.Connected(t.Context(), ann)
		time.Sleep(10 * time.Second)
		slow, calls = true, 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Connected(ctx, ann) }()
		synctest.Wait()
		w.Connected(t.Context(), ann)
		if calls != 1 {
			t.Errorf("%d probes", calls)
		}
		cancel() // a probe without a verdict: the next one may try
		<-done
		slow = false
		w.Connected(t.Context(), ann)
		if calls != 2 {
			t.Errorf("%d calls after the probe was given up", calls)
		}
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			retry  int
			fail   func() (*http.Response, error)
			events int // calls for connected
			asked  int // calls for an invocation
		}{
			{"off", 0, func() (*http.Response, error) { return answer(503, "") }, 1, 1},
			{"unavailable", 2, func() (*http.Response, error) { return answer(503, "") }, 3, 1},
			{"lost", 2, func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 3, 1},
			{"not reached", 2, func() (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: errors.New("refused")} }, 3, 3},
			{"failed", 2, func() (*http.Response, error) { return answer(500, "") }, 1, 1},
		} {
			calls := 0
			w := webhook(t, WebhookConfig{Retries: c.retry, BreakerFailures: 100, Transport: transport(func(r *http.Request) (*http.Response, error) {
				if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 {
					t.Errorf("a request without its body: %v", err)
				}
				calls++
				return c.fail()
			})})
			begin := time.Now()
			w.Connected(t.Context(), ann)
			if took := time.Since(begin); calls != c.events || calls == 3 && (took < 750*time.Millisecond || took > 1500*time.Millisecond) {
				t.Errorf("%s: %d calls for connected in %s", c.name, calls, took)
			}
			calls = 0
			if _, err := w.InvokedRaw(t.Context(), ann, "json", "t", []byte(`{"type":1,"invocationId":"7","target":"t","arguments":[]}`), true); err != nil || calls != c.asked {
				t.Errorf("%s: %d calls for an invocation, %v", c.name, calls, err)
			}
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		w := webhook(t, WebhookConfig{Logger: slog.New(slog.NewTextHandler(&logged, nil)), Transport: transport(func(*http.Request) (*http.Response, error) { return answer(500, "") })})
		for range 100 {
			w.Connected(t.Context(), ann)
		}
		time.Sleep(2 * time.Second)
		w.Connected(t.Context(), ann)
		if n := strings.Count(logged.String(), "\n"); n != 2 || !strings.Contains(logged.String(), "skipped=99") {
			t.Errorf("%d lines: %s", n, logged.String())
		}
	})
}
