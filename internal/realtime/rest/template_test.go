package rest

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"causeway/internal/secret"

	"github.com/google/go-cmp/cmp"
)

func TestTemplateMatches(t *testing.T) {
	for _, c := range []struct {
		hub, category, event string
		hits, misses         []string
	}{
		{"*", "*", "*", []string{"chat connections connected", "x messages y"}, nil},
		{"", "", "", []string{"chat connections connected"}, nil},
		{"Chat", "connections", "connected", []string{"chat connections connected"}, []string{"chat connections disconnected", "other connections connected", "chat messages connected"}},
		{"a, chat ,b", "messages", "Send,x", []string{"chat messages Send", "b messages x"}, []string{"chat messages send", "c messages x"}},
	} {
		compiled, err := Template{URL: "http://h/", Hub: c.hub, Category: c.category, Event: c.event}.compile(t.Context(), secret.Resolver{})
		if err != nil {
			t.Fatal(err)
		}
		for want, all := range map[bool][]string{true: c.hits, false: c.misses} {
			for _, one := range all {
				f := strings.Fields(one)
				if compiled.match(f[0], f[1], f[2]) != want {
					t.Errorf("%+v: %s is not %t", c, one, want)
				}
			}
		}
	}
}

func TestTemplateURL(t *testing.T) {
	t.Setenv("CAUSEWAY_TEST_CODE", "a+b/{event}==")
	t.Setenv("CAUSEWAY_TEST_URL", "https://hush.example/x")
	for _, c := range []struct{ url, event, want string }{
		{"http://h/api/{hub}/{category}/{event}", "send", "http://h/api/chat/messages/send"},
		{"http://h/{event}", "a/b?c#d%e &é", "http://h/a%2Fb%3Fc%23d%25e%20%26%C3%A9"},
		{"http://h/x?e={event}&h={hub}", "a&h=b", "http://h/x?e=a%26h%3Db&h=chat"},
		{"http://h/r?code={env:CAUSEWAY_TEST_CODE}", "x", "http://h/r?code=a+b/{event}=="}, // a secret is no template
		{"{env:CAUSEWAY_TEST_URL}/{event}", "x", "https://hush.example/x/x"},
		{"http://h/{event}", "..", ""}, {"http://h/{event}", ".", ""}, {"http://h/.{event}", ".", ""}, {"http://h/a/.{event}/b", ".", ""},
		{"http://h/{event}", "...", "http://h/..."},
		{"http://h/{event}", strings.Repeat("x", 13<<10), ""},
	} {
		compiled, err := Template{URL: c.url}.compile(t.Context(), secret.Resolver{})
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		got, err := compiled.url("chat", "messages", c.event)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s with %.20q: %v", c.url, c.event, got)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s with %q: %v %v", c.url, c.event, got, err)
		}
	}
	for text, want := range map[string]error{
		"": errURL, "/relative": errURL, "ftp://h/": errURL, "http://": errURL, "http://h/#x": errURL, "http://h/a/../b": errURL, "http://h\x7f/": errURL,
		"http://{hub}.example/": errAuthority, "http://{event}/": errAuthority, "http://u:{event}@h/": errAuthority, "{hub}://h/": errURL,
		"http://h/{unknown}": errParameter, "http://h/{": errParameter,
		"http://h/{azurekv:v/n}": secret.ErrNoSource, "http://h/{@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/n)}": secret.ErrNoSource,
		"http://h/{env:}": secret.ErrReference,
	} {
		if _, err := (Template{URL: text}).compile(t.Context(), secret.Resolver{}); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseTemplates(t *testing.T) {
	const item = `{"urlTemplate":"http://h/{event}","hubPattern":"chat","categoryPattern":"*","eventPattern":"a,b","auth":{"type":"ManagedIdentity","managedIdentity":{"resource":"api://x"}}}`
	want := []Template{{URL: "http://h/{event}", Hub: "chat", Category: "*", Event: "a,b", Resource: "api://x"}}
	for _, text := range []string{
		`{"properties":{"sku":1,"upstream":{"templates":[` + item + `]}}}`, `{"upstream":{"templates":[` + item + `]}}`, `{"templates":[` + item + `]}`,
		`{"Logging":{},"UpstreamSettings":{"Templates":[` + item + `]}}`,
	} {
		if got, err := ParseTemplates([]byte(text)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "[]", `{"templates":[{"auth":{"type":"Basic"}}]}`, `{"templates":[{"auth":{"type":"ManagedIdentity"}}]}`} {
		if got, err := ParseTemplates([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("http://h/{hub}/{category}?e={event}", "a/../b")
	f.Add("https://h/.{event}", ".")
	f.Add("http://{event}/", "h")
	f.Fuzz(func(t *testing.T, text, event string) {
		if strings.Contains(text, "{file:") || strings.Contains(text, "{env:") {
			return // not of the machine that fuzzes
		}
		compiled, err := Template{URL: text}.compile(t.Context(), secret.Resolver{})
		if err != nil {
			return
		}
		plain, err := compiled.url("chat", "messages", "x")
		if err != nil {
			return
		}
		u, err := compiled.url("chat", "messages", event)
		if err != nil {
			return
		}
		if u.Host != plain.Host || u.Scheme != plain.Scheme || u.User.String() != plain.User.String() {
			t.Fatalf("%q with %q goes to %v", text, event, u)
		}
		if strings.Count(u.EscapedPath(), "/") != strings.Count(plain.EscapedPath(), "/") || strings.Count(u.RawQuery, "&") != strings.Count(plain.RawQuery, "&") {
			t.Fatalf("%q with %q has another structure: %v", text, event, u)
		}
	})
}

func FuzzParseTemplates(f *testing.F) {
	f.Add([]byte(`{"UpstreamSettings":{"Templates":[{"UrlTemplate":"http://h/"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseTemplates(text)
		for _, one := range all {
			if err != nil {
				t.Fatal("templates and an error")
			}
			if utf8.Valid(text) {
				_, _ = secret.Split(one.URL)
			}
		}
	})
}
