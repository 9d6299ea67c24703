package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/internal/config"
	"causeway/internal/signaling"
	"causeway/internal/token"
)

type placed struct {
	joined
	Regions []signaling.Region
}

// Two deployments that share the key: each makes sessions that are at home with it, and lets guests into
// those of the other; pages of both may use both.
func TestRegions(t *testing.T) {
	t.Setenv("TEST_SIGNING", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	const eu, na = "http://eu.example", "http://na.example"
	region := func(name string) string {
		_, base := started(t, func(c *config.Config) {
			c.SigningKey, c.Places = "env:TEST_SIGNING", config.Places{Region: name, Regions: []string{"eu=" + eu, "na=" + na}}
		})
		return base
	}
	bases := map[string]string{"eu": region("eu"), "na": region("na")}
	signer, err := token.New(make([]byte, token.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	var made, guest placed
	if status := call(t, bases["na"]+"/api/sessions", "", struct{}{}, &made); status != 201 {
		t.Fatal(status)
	}
	if status := call(t, bases["eu"]+"/api/sessions/join", "", map[string]string{"invite": made.Invite}, &guest, "Origin", na); status != 200 {
		t.Fatal(status)
	}
	for _, one := range []placed{made, guest} {
		if len(one.Regions) != 2 || one.Regions[0] != (signaling.Region{Name: "na", URL: na}) || one.Regions[1].Name != "eu" {
			t.Errorf("%+v", one.Regions)
		}
		g, err := signer.Grant(one.Grant, time.Now())
		if err != nil || strings.Join(g.Regions, " ") != "na eu" {
			t.Errorf("%+v %v", g, err)
		}
	}
	for origin, want := range map[string]int{na: http.StatusNoContent, "http://evil.example": http.StatusForbidden} {
		a := asked(t, "OPTIONS", bases["eu"]+"/api/report", "", "Origin", origin, "Access-Control-Request-Method", "POST")
		if b := asked(t, "POST", bases["eu"]+"/api/report", "{}", "Origin", origin); want == http.StatusForbidden {
			if a.status != want || b.status != want {
				t.Errorf("reports of %s: %d, %d", origin, a.status, b.status)
			}
		} else if a.status != want || b.status != http.StatusUnauthorized || b.header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("reports of %s: %d, %d %v", origin, a.status, b.status, b.header)
		}
	}
	for _, path := range []string{"/api/regions", "/regions.json"} {
		w := from(t, bases["eu"]+path, na)
		if body, _ := io.ReadAll(w.Body); !strings.Contains(string(body), `"url":"`+na+`"`) {
			t.Errorf("%s: %s", path, body)
		}
		if policy := w.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' http://na.example ws://na.example http://eu.example ws://eu.example;") {
			t.Errorf("%s: %s", path, policy)
		}
		if allowed := w.Header.Get("Access-Control-Allow-Origin"); path == "/api/regions" && allowed != na {
			t.Errorf("%s: allowed: %q", path, allowed)
		}
	}
}

// Without regions nothing of them is to be seen.
func TestNoRegions(t *testing.T) {
	_, base := started(t, func(*config.Config) {})
	var answer map[string]any
	call(t, base+"/api/sessions", "", struct{}{}, &answer)
	if _, ok := answer["regions"]; ok || len(answer) == 0 {
		t.Errorf("%v", answer)
	}
	if w := from(t, base+"/api/regions", ""); w.StatusCode != 404 {
		t.Error(w.Status)
	}
}

// Functions are a region as well, for pages of a static site.
func TestFunctionsRegions(t *testing.T) {
	c, base := functionsConfig(t)
	c.Places = config.Places{Region: "eu", Regions: []string{"eu=" + base, "na=http://na.example"}}
	c.PublicURL = "http://pages.example"
	ctx, cancel := context.WithCancel(context.Background())
	f, err := NewFunctions(ctx, c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var made placed
	if status := call(t, base+"/api/sessions", "", struct{}{}, &made); status != 201 || made.Base != c.PublicURL || len(made.Regions) != 2 || made.Regions[0].URL != base {
		t.Errorf("%d %+v", status, made)
	}
	for _, origin := range []string{c.PublicURL, "http://na.example"} {
		if w := from(t, base+"/api/regions", origin); w.StatusCode != 200 || w.Header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s: %s %v", origin, w.Status, w.Header)
		}
	}
}

func from(t *testing.T, url, origin string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Body.Close() })
	return w
}
