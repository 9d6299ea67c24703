package service

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/internal/config"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"
)

// Keys and upstreams follow their files, and what can't be used changes nothing.
func TestServiceReload(t *testing.T) {
	events := make(chan string, 16)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { events <- r.URL.Path }))
	defer upstream.Close()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	write := func(text string) {
		if err := os.WriteFile(keyFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-key-first-key-first-key")
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	c.AccessKey = []string{"file:" + keyFile}
	next := c
	s, err := New(t.Context(), c, Config{Reload: func() (config.Config, error) { return next, nil }, KeyDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := s.ConnectionString("http://h"); ok || text != "" {
		t.Error("a configured key would be printed")
	}
	ok := func(key string) bool {
		text, err := accesskey.SignREST(secret.New(key), "http://h/api/v1/hubs/chat")
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "http://h/api/v1/hubs/chat", strings.NewReader(`{"target":"x"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+text)
		w := httptest.NewRecorder()
		s.rest.ServeHTTP(w, r)
		if _, err := io.Copy(io.Discard, w.Body); err != nil {
			t.Fatal(err)
		}
		return w.Code == 202
	}
	if !ok("first-key-first-key-first-key") || ok("second-key-second-key-second") {
		t.Error("the first key is not the one in force")
	}
	write("second-key-second-key-second")
	next.Upstream = []config.Upstream{{URL: upstream.URL + "/{event}", Hub: "*", Category: "*", Event: "*"}}
	if err := s.update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok("first-key-first-key-first-key") || !ok("second-key-second-key-second") {
		t.Error("the keys were not rotated")
	}
	s.webhook.Connected(t.Context(), realtime.Connection{ID: "c", Hub: "chat"})
	if got := <-events; got != "/connected" {
		t.Errorf("event %s", got)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if err := s.update(t.Context()); err == nil || !ok("second-key-second-key-second") {
		t.Errorf("after the key file went away: %v", err)
	}
}

func TestClientPath(t *testing.T) {
	for path, want := range map[string]string{
		"//client/": "/client/", "//client": "/client", "/client": "/client", "//client//negotiate": "/client/negotiate", "/client///negotiate/": "/client/negotiate/",
		"/": "", "//": "", "//api/v1/": "", "/clients": "", "//x/client": "", "": "",
	} {
		if got, ok := clientPath(path); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", path, got, ok)
		}
	}
}
