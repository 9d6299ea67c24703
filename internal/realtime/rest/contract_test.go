package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/azure"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"
)

// asAService is a hub as other people's applications see it: the application at
// its upstream, and the data plane beside the clients' endpoint.
func asAService(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
	t.Helper()
	ours := []secret.Value{secret.New("primary"), secret.New("secondary")}
	upstream, err := azure.NewUpstream(azure.UpstreamConfig{
		Keys: func() []secret.Value { return ours[1:] },
		Handler: func(hub string) realtime.Handler {
			if hub == name {
				return handler
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	application := httptest.NewServer(upstream)
	t.Cleanup(application.Close)
	hook, err := rest.NewWebhook(rest.WebhookConfig{Keys: func() []secret.Value { return ours }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hook.Close)
	if err := hook.Reload(t.Context(), []rest.Template{{URL: application.URL + "/{hub}/{category}/{event}"}}); err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Handlers: map[string]realtime.Handler{name: hook},
		Keys:     func() []secret.Value { return ours },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the hub ended with %v", err)
		}
	})
	plane, err := rest.NewHandler(rest.HandlerConfig{Service: h.Service, Keys: func() []secret.Value { return ours }, Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", plane)
	mux.Handle("/", h.Handler())
	service := httptest.NewServer(mux)
	t.Cleanup(service.Close)
	return realtimetest.Harness{Services: []realtime.Service{dataPlane(t, service.URL, name)}, Origins: []string{service.URL}}
}

func dataPlane(t *testing.T, endpoint, name string) *azure.Client {
	t.Helper()
	conn, err := accesskey.ParseConnectionString("Endpoint=" + endpoint + ";AccessKey=secondary;Version=1.0;")
	if err != nil {
		t.Fatal(err)
	}
	c, err := azure.NewClient(azure.ClientConfig{Connection: func() accesskey.ConnectionString { return conn }, Hub: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestContract runs the contract over both pairs of mirrors around a real hub:
// azure.Client → rest.Handler → hub → rest.Webhook → azure.Upstream.
func TestContract(t *testing.T) { realtimetest.Run(t, asAService) }
