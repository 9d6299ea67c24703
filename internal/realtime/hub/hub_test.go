package hub_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
)

func keys() [][]byte { return [][]byte{[]byte("primary-key-of-the-test"), []byte("secondary-key")} }

// serve runs a hub behind an HTTP server until the test ends.
func serve(t *testing.T, cfg hub.Config) (*hub.Hub, string) {
	t.Helper()
	if cfg.Keys == nil {
		cfg.Keys = keys
	}
	h, err := hub.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	server := httptest.NewServer(h.Handler())
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("run:", err)
		}
		server.Close()
	})
	return h, server.URL
}

func TestContract(t *testing.T) {
	realtimetest.Run(t, func(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
		h, origin := serve(t, hub.Config{Handlers: map[string]realtime.Handler{name: handler}})
		return realtimetest.Harness{Services: []realtime.Service{h.Service(name)}, Origins: []string{origin}}
	})
}
