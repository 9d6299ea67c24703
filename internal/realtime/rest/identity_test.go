package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/azure"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"
)

const ourToken, itsToken = "token-of-the-application", "token-of-the-service"

// withIdentities is asAService without access keys: the application shows a token of its identity and
// gets a temporary key for clients' tokens, the service shows a token upstream.
func withIdentities(t *testing.T, name string, handler realtime.Handler) realtimetest.Harness {
	t.Helper()
	inside := []secret.Value{secret.New("inside")} // of our service, which takes keys only
	upstream, err := azure.NewUpstream(azure.UpstreamConfig{
		Token: func(_ context.Context, token string) error {
			if token != itsToken {
				return errors.New("another token")
			}
			return nil
		},
		Handler: func(string) realtime.Handler { return handler },
	})
	if err != nil {
		t.Fatal(err)
	}
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Asrs-Signature", "sha256=00")
		r.Header.Set("Authorization", "Bearer "+itsToken)
		upstream.ServeHTTP(w, r)
	}))
	t.Cleanup(application.Close)
	hook, err := rest.NewWebhook(rest.WebhookConfig{Keys: func() []secret.Value { return inside }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hook.Close)
	if err := hook.Reload(t.Context(), []rest.Template{{URL: application.URL}}); err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{Handlers: map[string]realtime.Handler{name: hook}, Keys: func() []secret.Value { return []secret.Value{secret.New("temporary")} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	<-h.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the hub ended with %v", err)
		}
	})
	plane, err := rest.NewHandler(rest.HandlerConfig{Service: h.Service, Keys: func() []secret.Value { return inside }})
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(byIdentity(t, plane, inside[0], h.Handler()))
	t.Cleanup(service.Close)
	return realtimetest.Harness{Services: []realtime.Service{identityClient(t, service.URL, name)}, Origins: []string{service.URL}}
}

// byIdentity is a data plane that takes an identity's token, and gives it a key.
func byIdentity(t *testing.T, plane http.Handler, key secret.Value, clients http.Handler) http.Handler {
	var keys atomic.Int32
	t.Cleanup(func() {
		if n := keys.Load(); n > 1 {
			t.Errorf("%d keys were asked for", n)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			clients.ServeHTTP(w, r)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+ourToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/api/v1/auth/accessKey" {
			keys.Add(1)
			if err := json.NewEncoder(w).Encode(map[string]string{"AccessKey": "temporary", "KeyId": "k1"}); err != nil {
				t.Error(err)
			}
			return
		}
		token, err := accesskey.SignREST(key, "http://"+r.Host+r.URL.EscapedPath())
		if err != nil {
			t.Error(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		plane.ServeHTTP(w, r)
	})
}

func identityClient(t *testing.T, endpoint, name string) *azure.Client {
	t.Helper()
	conn, err := accesskey.ParseConnectionString("Endpoint=" + endpoint + ";AuthType=azure.msi;Version=1.0;")
	if err != nil {
		t.Fatal(err)
	}
	c, err := azure.NewClient(azure.ClientConfig{
		Connection: func() accesskey.ConnectionString { return conn }, Hub: name,
		Token: func(context.Context) (string, error) { return ourToken, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The contract holds where identities take the place of access keys.
func TestContractWithIdentities(t *testing.T) { realtimetest.Run(t, withIdentities) }
