package ice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/internal/secret"
)

const theKey = "the-account-secret"

// meteredServer behaves as the tables of Metered's REST API say.
type meteredServer struct {
	mu       sync.Mutex
	made     int
	labels   map[string]string // by username
	disabled map[string]bool
	usage    map[string]any // GB, as number or text
	regions  []string
	noList   bool // the second call of Mint fails
	pages    int  // asked for
}

func (m *meteredServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := r.URL.Query()
	answer := func(code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	if r.URL.Path == "/api/v1/turn/credentials" { // with the credential's own key
		user, ok := strings.CutPrefix(q.Get("apiKey"), "key-of-")
		if _, known := m.labels[user]; !ok || !known || q.Has("secretKey") || m.noList {
			answer(401, map[string]any{"error": "Invalid API Key"})
			return
		}
		m.regions = append(m.regions, q.Get("region"))
		answer(200, []any{
			map[string]any{"urls": "stun:stun.relay.metered.ca:80"},
			map[string]any{"urls": "turn:global.relay.metered.ca:80", "username": user, "credential": "pw"},
			map[string]any{"urls": "turn:global.relay.metered.ca:80?transport=tcp", "username": user, "credential": "pw"},
			map[string]any{"urls": "turns:global.relay.metered.ca:443?transport=tcp", "username": user, "credential": "pw"},
		})
		return
	}
	if q.Get("secretKey") != theKey {
		answer(401, map[string]any{"error": "Invalid secret key " + q.Get("secretKey")})
		return
	}
	var body struct {
		ExpiryInSeconds any
		Label           string
		Username        string
	}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&body) != nil {
		answer(400, map[string]any{"error": "bad json"})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /api/v1/turn/credential":
		if s, ok := body.ExpiryInSeconds.(float64); !ok || s != float64(int64(s)) || s < 1 {
			answer(400, map[string]any{"error": "bad expiry"})
			return
		}
		m.made++
		user := fmt.Sprint("user", m.made)
		m.labels[user] = body.Label
		answer(200, map[string]any{"username": user, "password": "pw", "expiryInSeconds": body.ExpiryInSeconds, "label": body.Label, "apiKey": "key-of-" + user})
	case "POST /api/v1/turn/credential/disable":
		if _, ok := m.labels[body.Username]; !ok {
			answer(401, map[string]any{"message": "Credential Not Found"})
		} else if m.disabled[body.Username] {
			answer(400, map[string]any{"message": "credential is already disabled"})
		} else {
			m.disabled[body.Username] = true
			answer(200, map[string]any{"message": "ok"})
		}
	case "GET /api/v1/turn/current_usage_for_user":
		answer(200, map[string]any{"usageInGB": m.usage[q.Get("username")]})
	case "GET /api/v2/turn/current_usage_by_user":
		m.pages++
		users := make([]string, 0, len(m.usage))
		for u := range m.usage {
			users = append(users, u)
		}
		slices.Sort(users)
		var page int
		_, _ = fmt.Sscan(q.Get("page"), &page)
		from := min(len(users), (page-1)*4)
		to := min(len(users), from+4)
		data := []any{}
		for _, u := range users[from:to] {
			data = append(data, map[string]any{"username": u, "label": m.labels[u], "usageInGB": m.usage[u]})
		}
		answer(200, map[string]any{"data": data, "has_more": to < len(users)})
	default:
		answer(404, map[string]any{"error": "no such call"})
	}
}

func newMetered(t *testing.T, h http.Handler) *Metered {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	m, err := NewMetered(MeteredConfig{Base: s.URL + "/", SecretKey: secret.New(theKey), Region: "europe", Client: s.Client()})
	must(t, err)
	return m
}

func TestMetered(t *testing.T) {
	fake := &meteredServer{labels: map[string]string{}, disabled: map[string]bool{}, usage: map[string]any{}}
	m, ctx := newMetered(t, fake), t.Context()
	before := time.Now()
	got, err := m.Mint(ctx, Request{Session: "session-1", Member: "m", Life: 90 * time.Second})
	must(t, err)
	if got.Handle != "user1" || len(got.Servers) != 4 || got.Servers[1].Credential != "pw" || fake.labels["user1"] != "session-1" {
		t.Errorf("%+v, labels %v", got, fake.labels)
	}
	if d := got.Expires.Sub(before); d < 88*time.Second || d > 120*time.Second {
		t.Errorf("expires in %v", d)
	}
	_, err = m.Mint(ctx, Request{Session: "s", Region: "asia"})
	must(t, err)
	_, err = m.Mint(ctx, Request{Session: "s", Region: "&x=y"})
	must(t, err)
	if !slices.Equal(fake.regions, []string{"europe", "asia", "europe"}) {
		t.Errorf("regions %q", fake.regions)
	}
	// A credential without servers is not left behind.
	fake.noList = true
	if _, err := m.Mint(ctx, Request{Session: "s"}); err == nil || !fake.disabled["user4"] {
		t.Errorf("%v, disabled %v", err, fake.disabled)
	}
	// Disabling once, again, and what is gone.
	for _, h := range []string{"user1", "user1", "swept-up"} {
		must(t, m.Revoke(ctx, h))
	}
	if !fake.disabled["user1"] {
		t.Error("not disabled")
	}
}

func TestMeteredUsage(t *testing.T) {
	fake := &meteredServer{labels: map[string]string{}, usage: map[string]any{"a": 1.5, "b": "0.25", "c": "many", "d": nil}}
	m, ctx := newMetered(t, fake), t.Context()
	got, err := m.Usage(ctx, []string{"a", "b", "c", "d"})
	if !reflect.DeepEqual(got, map[string]int64{"a": 1_500_000_000, "b": 250_000_000}) || !errors.Is(err, ErrAnswer) {
		t.Errorf("%v, %v", got, err)
	}
	fake.usage = map[string]any{}
	var handles []string
	want := map[string]int64{}
	for i := range 30 {
		fake.usage[fmt.Sprintf("u%02d", i)] = i
		if i%3 == 0 {
			handles = append(handles, fmt.Sprintf("u%02d", i))
			want[handles[len(handles)-1]] = int64(i) * 1_000_000_000
		}
	}
	got, err = m.Usage(ctx, handles)
	if err != nil || !reflect.DeepEqual(got, want) || fake.pages != 7 {
		t.Errorf("%v, %v, %d pages", got, err, fake.pages)
	}
	// A provider that always has more is left.
	endless := newMetered(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data":[{"username":"x","usageInGB":1}],"has_more":true}`))
	}))
	if _, err := endless.Usage(ctx, handles); err == nil {
		t.Error("no error after all those pages")
	}
}

// cloudflareServer behaves as the tables of Cloudflare's API say.
type cloudflareServer struct {
	mu      sync.Mutex
	body    map[string]any // of the last mint
	old     bool           // the older answer with one object
	revoked []string
	queries []map[string]any
	refuse  bool // GraphQL, with status 200
}

func (c *cloudflareServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	auth := r.Header.Get("Authorization")
	switch path := r.URL.EscapedPath(); {
	case path == "/client/v4/graphql" && auth == "Bearer analytics":
		if c.refuse {
			_, _ = w.Write([]byte(`{"data":null,"errors":[{"message":"no"}]}`))
			return
		}
		v := body["variables"].(map[string]any)
		c.queries = append(c.queries, v)
		fmt.Fprintf(w, `{"data":{"viewer":{"accounts":[{"callsTurnUsageAdaptiveGroups":[
			{"sum":{"egressBytes":100},"dimensions":{"username":"u"}},{"sum":{"egressBytes":"11"},"dimensions":{"username":"u"}},
			{"sum":{"egressBytes":5},"dimensions":{"username":"of another for %s"}}]}]}},"errors":null}`, v["session"])
	case auth != "Bearer "+theKey:
		http.Error(w, "bad key "+auth, http.StatusUnauthorized)
	case path == "/v1/turn/keys/kid/credentials/generate-ice-servers":
		c.body = body
		turn := `{"urls":["turn:turn.cloudflare.com:3478?transport=udp","turn:turn.cloudflare.com:53?transport=udp","turns:turn.cloudflare.com:443?transport=tcp"],"username":"u","credential":"c"}`
		w.WriteHeader(http.StatusCreated)
		if c.old {
			fmt.Fprintf(w, `{"iceServers":%s}`, turn)
			return
		}
		fmt.Fprintf(w, `{"iceServers":[{"urls":["stun:stun.cloudflare.com:3478","stun:stun.cloudflare.com:53"]},%s]}`, turn)
	case strings.HasSuffix(path, "/revoke"):
		name := strings.TrimSuffix(strings.TrimPrefix(path, "/v1/turn/keys/kid/credentials/"), "/revoke")
		c.revoked = append(c.revoked, name)
		if name == "gone" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func newCloudflare(t *testing.T, h http.Handler, account string) *Cloudflare {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg := CloudflareConfig{KeyID: "kid", Key: secret.New(theKey), Base: s.URL, API: s.URL, Client: s.Client()}
	if account != "" {
		cfg.Account, cfg.Analytics = account, secret.New("analytics")
	}
	c, err := NewCloudflare(cfg)
	must(t, err)
	return c
}

func TestCloudflare(t *testing.T) {
	fake := &cloudflareServer{}
	c, ctx := newCloudflare(t, fake, "acc"), t.Context()
	want := []Server{{URLs: []string{"stun:stun.cloudflare.com:3478"}}, {[]string{"turn:turn.cloudflare.com:3478?transport=udp", "turns:turn.cloudflare.com:443?transport=tcp"}, "u", "c"}}
	for range 2 {
		m, err := c.Mint(ctx, Request{Session: "s1", Member: "m", Life: 1000 * time.Hour})
		if err != nil || m.Handle != "s1/u" || !reflect.DeepEqual(m.Servers, want) {
			t.Errorf("%+v, %v", m, err)
		}
		fake.old, want = true, want[1:]
	}
	if fake.body["customIdentifier"] != "s1" || fake.body["ttl"] != float64(48*3600) {
		t.Errorf("%v", fake.body)
	}
	for _, h := range []string{"s1/u", "s1/a/b?c", "s1/gone"} {
		must(t, c.Revoke(ctx, h))
	}
	if !slices.Equal(fake.revoked, []string{"u", "a%2Fb%3Fc", "gone"}) {
		t.Errorf("revoked %q", fake.revoked)
	}
	usage, err := c.Usage(ctx, []string{"s1/u", "s2/u", "s2/v"})
	if err != nil || !reflect.DeepEqual(usage, map[string]int64{"s1/u": 111, "s2/u": 111}) || len(fake.queries) != 2 {
		t.Errorf("%v, %v, %v", usage, err, fake.queries)
	}
	if q := fake.queries[0]; q["account"] != "acc" || q["key"] != "kid" {
		t.Errorf("%v", q)
	}
	fake.refuse = true
	if _, err := c.Usage(ctx, []string{"s1/u"}); !errors.Is(err, ErrAnswer) {
		t.Errorf("%v", err)
	}
	fake.refuse, fake.queries = false, nil
	var many []string
	for i := range maxQueries + 5 {
		many = append(many, fmt.Sprintf("s%d/u", i))
	}
	if usage, err := c.Usage(ctx, many); err == nil || len(usage) != maxQueries || len(fake.queries) != maxQueries {
		t.Errorf("%d, %v, %d queries", len(usage), err, len(fake.queries))
	}
	none := newCloudflare(t, fake, "")
	if _, err := none.Usage(ctx, many); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if !c.Capabilities().Usage || none.Capabilities().Usage || c.Capabilities().ByteCap {
		t.Error("capabilities")
	}
}

// What goes wrong at a provider is an error, soon, and shows no key.
func TestBadProviders(t *testing.T) {
	long := strings.Repeat("x", maxAnswer)
	for name, h := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.URL.String()+r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"fails":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"limits": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"is no JSON":  func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.String()) },
		"is empty":    func(http.ResponseWriter, *http.Request) {},
		"is null":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "null") },
		"says little": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") },
		"is of another kind": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"username":1,"iceServers":"%s","data":3,"usageInGB":{}}`, r.URL.String())
		},
		"is too long": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"username":"u","x":%q}`, long) },
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, i := range []Issuer{newMetered(t, h), newCloudflare(t, h, "acc")} {
			_, mint := i.Mint(t.Context(), Request{Session: "s", Member: "m"})
			if mint == nil {
				t.Errorf("%T: %s: minted", i, name)
			}
			usage, use := i.Usage(t.Context(), []string{"s/a", "s/b"})
			if len(usage) > 0 {
				t.Errorf("%T: %s: usage %v", i, name, usage)
			}
			for _, err := range []error{mint, use, i.Revoke(t.Context(), "s/u")} {
				if err != nil && (strings.Contains(err.Error(), theKey) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), theKey)) {
					t.Errorf("%T: %s: the key shows: %v", i, name, err)
				}
			}
		}
	}
}

// A provider that does not answer holds nobody longer than the context.
func TestSlowProvider(t *testing.T) {
	done := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	issuers := []Issuer{newMetered(t, h), newCloudflare(t, h, "acc")}
	t.Cleanup(func() { close(done) }) // before the servers close
	for _, i := range issuers {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := i.Mint(ctx, Request{Session: "s"})
			ended <- err
		}()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), theKey) {
			t.Errorf("%T: %v", i, err)
		}
	}
	closed := httptest.NewServer(h)
	closed.Close()
	m, err := NewMetered(MeteredConfig{Base: closed.URL, SecretKey: secret.New(theKey)})
	must(t, err)
	if _, err := m.Mint(t.Context(), Request{Session: "s"}); err == nil || strings.Contains(err.Error(), theKey) {
		t.Errorf("%v", err)
	}
	var u *url.Error
	if _, err := m.Usage(t.Context(), []string{"a"}); errors.As(err, &u) {
		t.Error("the URL is still in the error")
	}
}

func TestVendorConfigs(t *testing.T) {
	key := secret.New("k")
	for _, c := range []MeteredConfig{{}, {Base: "https://a.metered.live"}, {Base: "http://a.metered.live", SecretKey: key}, {Base: "https://a/b", SecretKey: key}, {Base: "https://u@a", SecretKey: key}, {Base: "https://a?x", SecretKey: key}, {Base: "https://a", SecretKey: key, Region: "EU West"}} {
		if _, err := NewMetered(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
	for _, c := range []CloudflareConfig{{}, {KeyID: "a/b", Key: key}, {KeyID: "a"}, {KeyID: "a", Key: key, Account: "x"}, {KeyID: "a", Key: key, Analytics: key}, {KeyID: "a", Key: key, Base: "ftp://x"}, {KeyID: "a", Key: key, API: "http://example.org"}} {
		if _, err := NewCloudflare(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
	if _, err := NewCloudflare(CloudflareConfig{KeyID: "a", Key: key}); err != nil {
		t.Error(err)
	}
}
