package ice

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/relay/credential"
	"causeway/internal/secret"
)

var (
	_ Issuer = (*Own)(nil)
	_ Issuer = (*Coturn)(nil)
	_ Issuer = (*Metered)(nil)
	_ Issuer = (*Cloudflare)(nil)
	_ Issuer = (*Chain)(nil)
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shop is an Issuer that does as it is told.
type shop struct {
	err     error // of Mint
	room    int   // for how many more; 0: no matter
	minted  []Request
	revoked []string
	usage   map[string]int64
	uerr    error
	caps    Capabilities
}

func (s *shop) Mint(_ context.Context, r Request) (Minted, error) {
	s.minted = append(s.minted, r)
	if s.err != nil {
		return Minted{}, s.err
	}
	if s.room--; s.room == -1 {
		s.room = 0
	} else if s.room == 0 {
		s.err = errors.New("full")
	}
	return Minted{Servers: []Server{{URLs: []string{"turn:relay.example"}, Username: "u", Credential: "c"}}, Handle: "h:1", Expires: time.Unix(9, 0)}, nil
}

func (s *shop) Revoke(_ context.Context, handle string) error {
	s.revoked = append(s.revoked, handle)
	return nil
}

func (s *shop) Usage(_ context.Context, handles []string) (map[string]int64, error) {
	if s.uerr != nil {
		return s.usage, s.uerr
	}
	part := map[string]int64{}
	for _, h := range handles {
		if n, ok := s.usage[h]; ok {
			part[h] = n
		}
	}
	return part, nil
}

func (s *shop) Capabilities() Capabilities { return s.caps }

func TestChain(t *testing.T) {
	own, bought := &shop{}, &shop{usage: map[string]int64{"h:1": 7}}
	c, err := NewChain([]Named{{Name: "own", Issuer: own}, {Name: "bought", Issuer: bought}}, nil)
	must(t, err)
	ctx := t.Context()
	r := Request{Session: "s", Member: "m"}
	m, err := c.Mint(ctx, r)
	if err != nil || m.Handle != "own:h:1" || len(bought.minted) != 0 {
		t.Errorf("own first: %+v, %v", m, err)
	}
	own.err = errors.New("full")
	m, err = c.Mint(ctx, r)
	if err != nil || m.Handle != "bought:h:1" || !reflect.DeepEqual(bought.minted[0], r) {
		t.Errorf("on overflow: %+v, %v", m, err)
	}
	own.err = errors.Join(ErrRefused, errors.New("budget"))
	if _, err := c.Mint(ctx, r); !errors.Is(err, ErrRefused) || len(bought.minted) != 1 {
		t.Errorf("what is refused was bought: %v", err)
	}
	own.err, bought.err = errors.New("full"), errors.New("down")
	if _, err := c.Mint(ctx, r); err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "down") {
		t.Errorf("nobody mints: %v", err)
	}
	must(t, c.Revoke(ctx, m.Handle))
	if len(own.revoked) != 0 || !reflect.DeepEqual(bought.revoked, []string{"h:1"}) {
		t.Errorf("revoked %v, %v", own.revoked, bought.revoked)
	}
	if c.Revoke(ctx, "gone:h") == nil {
		t.Error("revoked at nobody")
	}
	own.uerr = errors.ErrUnsupported
	usage, err := c.Usage(ctx, []string{"own:h:1", "bought:h:1", "bought:h:2", "gone:x"})
	if err != nil || !reflect.DeepEqual(usage, map[string]int64{"bought:h:1": 7}) {
		t.Errorf("%v, %v", usage, err)
	}
	own.uerr, own.usage = errors.New("half"), map[string]int64{"h:1": 1}
	usage, err = c.Usage(ctx, []string{"own:h:1", "bought:h:1"})
	if err == nil || len(usage) != 2 {
		t.Errorf("%v, %v", usage, err)
	}
	own.caps = Capabilities{Expires: true, Label: true, Revoke: true, Usage: true, ByteCap: true}
	bought.caps = Capabilities{Expires: true, Revoke: true, RevokeDelay: -1, Usage: true, UsageDelay: time.Second}
	if got := c.Capabilities(); got != (Capabilities{Expires: true, Revoke: true, RevokeDelay: -1, Usage: true, UsageDelay: time.Second}) {
		t.Errorf("%+v", got)
	}
	for _, list := range [][]Named{nil, {{Issuer: own}}, {{Name: "a:b", Issuer: own}}, {{Name: "a", Issuer: own}, {Name: "a", Issuer: own}}, {{Name: "a"}}} {
		if _, err := NewChain(list, nil); err == nil {
			t.Errorf("%+v", list)
		}
	}
	if name, own := Split("a:b:c"); name != "a" || own != "b:c" {
		t.Errorf("%q, %q", name, own)
	}
}

// Both members of a pair are served by one, the nearest that can.
func TestChainMintsForAPair(t *testing.T) {
	own, far, near, bought := &shop{}, &shop{}, &shop{}, &shop{}
	c, err := NewChain([]Named{{Name: "own", Issuer: own, Region: "eu"}, {Name: "far", Issuer: far, Region: "asia"}, {Name: "near", Issuer: near, Region: "us"}, {Name: "bought", Issuer: bought}}, nil)
	must(t, err)
	mint := func(region string) string {
		t.Helper()
		m, err := c.MintAll(t.Context(), []Request{{Session: "s", Member: "a", Region: region}, {Session: "s", Member: "b", Region: region}})
		if err != nil || len(m) != 2 || m[0].Handle != m[1].Handle {
			t.Fatalf("%+v, %v", m, err)
		}
		name, _ := Split(m[0].Handle)
		return name
	}
	for region, want := range map[string]string{"": "own", "us": "near", "asia": "far", "eu": "own", "mars": "own"} {
		if got := mint(region); got != want {
			t.Errorf("region %q: %s, want %s", region, got, want)
		}
	}
	near.err = ErrAway
	if got := mint("us"); got != "own" {
		t.Errorf("a region that is away: %s", got)
	}
	// Full for the second of them: the first one's is given back.
	own.room = 1
	if got := mint(""); got != "far" || len(own.revoked) != 1 || len(far.minted) < 4 {
		t.Errorf("%s after %v", got, own.revoked)
	}
	if _, err := c.MintAll(t.Context(), nil); err == nil {
		t.Error("minted for nobody")
	}
}

func TestOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []string{"stun:192.0.2.1", "turn:192.0.2.1", "turn:192.0.2.1?transport=tcp"}
		var deleted string
		var fail error
		o, err := NewOwn(OwnConfig{
			URLs: func() []string { return list },
			Grant: func(_ context.Context, r Request, expires time.Time) (string, string, string, error) {
				if r.Session != "s" || !expires.Equal(time.Now().Add(time.Minute)) {
					t.Errorf("%+v, %v", r, expires)
				}
				return "id", "user", "pass", fail
			},
			Delete: func(_ context.Context, id string) error { deleted = id; return nil },
		})
		must(t, err)
		m, err := o.Mint(t.Context(), Request{Session: "s", Member: "m", Life: time.Minute})
		want := []Server{{URLs: list[:1]}, {list[1:], "user", "pass"}}
		if err != nil || m.Handle != "id" || !reflect.DeepEqual(m.Servers, want) {
			t.Errorf("%+v, %v", m, err)
		}
		must(t, o.Revoke(t.Context(), "id"))
		if deleted != "id" {
			t.Error("not deleted")
		}
		if _, err := o.Usage(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if c := o.Capabilities(); !c.ByteCap || !c.PeerPolicy {
			t.Errorf("%+v", c)
		}
		fail = ErrRefused
		if _, err := o.Mint(t.Context(), Request{Session: "s", Member: "m", Life: time.Minute}); !errors.Is(err, ErrRefused) {
			t.Errorf("%v", err)
		}
		list = list[:1]
		if _, err := o.Mint(t.Context(), Request{}); err == nil {
			t.Error("minted without a relay")
		}
		if _, err := NewOwn(OwnConfig{}); err == nil {
			t.Error("an empty configuration")
		}
	})
}

func TestCoturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := secret.New("north")
		c, err := NewCoturn([]string{"stun:turn.example", "turn:turn.example:3478?transport=udp", "turns:turn.example:5349"}, key)
		must(t, err)
		m, err := c.Mint(t.Context(), Request{Session: "s", Member: "m"})
		must(t, err)
		user, pass := credential.Mint([]byte("north"), "s.m", time.Now().Add(10*time.Minute))
		if m.Handle != user || m.Servers[1].Username != user || m.Servers[1].Credential != pass || len(m.Servers[1].URLs) != 2 || !m.Expires.Equal(time.Now().Add(10*time.Minute)) {
			t.Errorf("%+v", m)
		}
		if err := c.Revoke(t.Context(), m.Handle); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if _, err := c.Usage(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if caps := c.Capabilities(); caps.Revoke || caps.Usage || caps.ByteCap || caps.PeerPolicy || !caps.Expires {
			t.Errorf("%+v", caps)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Mint(ctx, Request{}); err == nil {
			t.Error("minted after the end")
		}
		for _, urls := range [][]string{nil, {"stun:x"}, {"http://x"}, {"turn:x:53"}, {"turn:x?transport=sctp"}} {
			if _, err := NewCoturn(urls, key); err == nil {
				t.Errorf("accepted %v", urls)
			}
		}
		if _, err := NewCoturn([]string{"turn:x"}, secret.Value{}); err == nil {
			t.Error("without a secret")
		}
	})
}

func TestTidy(t *testing.T) {
	var many []string
	for range 40 {
		many = append(many, "turn:a")
	}
	for text, want := range map[string]string{
		`[{"urls":"stun:s:80"},{"urls":"turn:t:80","username":"u","credential":"c"}]`:                                      `[{"urls":["stun:s:80"]},{"urls":["turn:t:80"],"username":"u","credential":"c"}]`,
		`[{"urls":["turn:t:53?transport=udp","turn:t:3478?transport=udp"],"username":"u","credential":"c"}]`:               `[{"urls":["turn:t:3478?transport=udp"],"username":"u","credential":"c"}]`,
		`[{"urls":["stun:s:53"]},{"urls":["turns:t:443?transport=tcp"],"username":"u","credential":"c"}]`:                  `[{"urls":["turns:t:443?transport=tcp"],"username":"u","credential":"c"}]`,
		`[{"urls":["javascript:1","turn:","turn:t?x=y","stun:s?transport=udp","turn:t"],"username":"u","credential":"c"}]`: `[{"urls":["turn:t"],"username":"u","credential":"c"}]`,
		`[{"urls":"turn:t","username":"u"}]`: "",
		`[{"urls":"stun:s"}]`:                "",
		`[]`:                                 "",
	} {
		var list []foreign
		must(t, json.Unmarshal([]byte(text), &list))
		got, err := servers(list)
		b, _ := json.Marshal(got)
		if (want == "") != errors.Is(err, ErrAnswer) || want != "" && string(b) != want {
			t.Errorf("%s\n%s, %v\nwant %s", text, b, err, want)
		}
	}
	got, err := tidy([]Server{{many, "u", "c"}})
	if err != nil || len(got[0].URLs) != maxURLs {
		t.Errorf("%d urls, %v", len(got[0].URLs), err)
	}
}

func FuzzServers(f *testing.F) {
	f.Add([]byte(`[{"urls":"turn:t:80","username":"u","credential":"c"}]`))
	f.Add([]byte(`[{"urls":["turn:[::1]:53?transport=tcp"],"username":"u","credential":"c"},{"urls":[]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var list oneOrMany[foreign]
		if json.Unmarshal(b, &list) != nil {
			return
		}
		got, err := servers(list)
		if err != nil {
			return
		}
		n := 0
		for _, s := range got {
			for _, u := range s.URLs {
				if n++; !usable(u) || strings.Contains(u, ":53?") || strings.HasSuffix(u, ":53") {
					t.Fatalf("%q", u)
				}
			}
		}
		if n == 0 || n > maxURLs {
			t.Fatalf("%d urls", n)
		}
	})
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]int64{"1": gigabyte, `"1"`: gigabyte, "0.000000001": 1, "0.0000000011": 2, `"0"`: 0, "null": 0, "1e300": maxUsage} {
		var n number
		must(t, json.Unmarshal([]byte(text), &n))
		if got := n.bytes(gigabyte); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{"-1", `"x"`, `"NaN"`, "{}", "[]", `""`, "true"} {
		var n number
		if json.Unmarshal([]byte(text), &n) == nil {
			t.Errorf("%s is a number", text)
		}
	}
}
