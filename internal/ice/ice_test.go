package ice

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/relay/credential"
)

var _ Provider = (*Relay)(nil)

func secrets() [][]byte { return [][]byte{[]byte("current"), []byte("previous")} }

func urls() []string {
	return []string{"stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp"}
}

func newRelay(t *testing.T, change func(*RelayConfig)) *Relay {
	t.Helper()
	cfg := RelayConfig{URLs: urls, Secrets: secrets}
	if change != nil {
		change(&cfg)
	}
	r, err := NewRelay(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(123 * time.Millisecond) // of the bubble's clock: off the whole second
		r := newRelay(t, func(c *RelayConfig) { c.STUN = []string{"stun:stun.example.org"} })
		servers, expires, err := r.Servers(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Now().Add(10 * time.Minute).Truncate(time.Second); !expires.Equal(want) {
			t.Errorf("expires %v, want %v", expires, want)
		}
		user, pass := credential.Mint([]byte("current"), "alice", expires)
		got, err := json.Marshal(servers)
		if err != nil {
			t.Fatal(err)
		}
		want := `[{"urls":["stun:192.0.2.1:3478","stun:stun.example.org"]},` +
			`{"urls":["turn:192.0.2.1:3478?transport=udp","turn:192.0.2.1:3478?transport=tcp"],"username":"` + user + `","credential":"` + pass + `"}]`
		if string(got) != want {
			t.Errorf("servers\n%s\nwant\n%s", got, want)
		}
		if strings.Contains(string(got), "alice") {
			t.Error("the member shows")
		}
	})
}

func TestServersWithoutTURN(t *testing.T) {
	none := func() []string { return nil }
	r := newRelay(t, func(c *RelayConfig) { c.URLs = none })
	if servers, expires, err := r.Servers(t.Context(), "a"); len(servers) != 0 || !expires.IsZero() || err != nil {
		t.Errorf("Servers = %v, %v, %v", servers, expires, err)
	}
	r = newRelay(t, func(c *RelayConfig) { c.URLs, c.STUN = none, []string{"stun:s"} })
	if servers, expires, err := r.Servers(t.Context(), "a"); len(servers) != 1 || !expires.IsZero() || err != nil {
		t.Errorf("Servers = %v, %v, %v", servers, expires, err)
	}
}

func TestServersFails(t *testing.T) {
	r := newRelay(t, func(c *RelayConfig) { c.Secrets = func() [][]byte { return nil } })
	if _, _, err := r.Servers(t.Context(), "a"); err == nil {
		t.Error("minted without a secret")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := newRelay(t, nil).Servers(ctx, "a"); err == nil {
		t.Error("minted after the context had ended")
	}
}

func TestNewRelay(t *testing.T) {
	for name, c := range map[string]RelayConfig{
		"no urls":     {Secrets: secrets},
		"no secrets":  {URLs: urls},
		"short life":  {URLs: urls, Secrets: secrets, Life: time.Millisecond},
		"long life":   {URLs: urls, Secrets: secrets, Life: 48 * time.Hour},
		"turn: as an": {URLs: urls, Secrets: secrets, STUN: []string{"turn:example.org"}},
	} {
		if _, err := NewRelay(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCheckSTUN(t *testing.T) {
	for u, ok := range map[string]bool{
		"stun:stun.example.org":       true,
		"stun:stun.example.org:19302": true,
		"stuns:stun.example.org:5349": true,
		"stun:192.0.2.1":              true,
		"stun:[2001:db8::1]:3478":     true,
		"stun:[2001:db8::1]":          true,
		"stun:2001:db8::1":            false,
		"":                            false,
		"stun":                        false,
		"stun:":                       false,
		"stun::3478":                  false,
		"stun://example.org":          false,
		"stun:example.org:0":          false,
		"stun:example.org:99999":      false,
		"stun:example.org:http":       false,
		"stun:example.org?x":          false,
		"stun:user@example.org":       false,
		"turn:example.org":            false,
		"STUN:example.org":            false,
	} {
		if err := CheckSTUN(u); (err == nil) != ok {
			t.Errorf("CheckSTUN(%q) = %v", u, err)
		}
	}
}
