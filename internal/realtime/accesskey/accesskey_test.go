package accesskey

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/secret"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

const emulator = "Endpoint=http://localhost;Port=8888;AccessKey=ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH;Version=1.0;"

func TestParseConnectionString(t *testing.T) {
	for _, c := range []struct{ name, text, endpoint, key, says string }{
		{"emulator", emulator, "http://localhost:8888", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH", ""},
		{"azure", "Endpoint=https://x.service.signalr.net/;AccessKey=a+b/c==;Version=1.0;", "https://x.service.signalr.net", "a+b/c==", ""},
		{"any case, no end", "endpoint=https://h;ACCESSKEY=k", "https://h", "k", ""},
		{"unknown names", "Endpoint=https://h;AccessKey=k;Foo=bar", "https://h", "k", ""},
		{"IPv6", "Endpoint=http://[::1];Port=80;AccessKey=k", "http://[::1]:80", "k", ""},
		{"port in the endpoint", "Endpoint=http://h:1;AccessKey=k", "http://h:1", "k", ""},
		{"aad", "Endpoint=https://h;AuthType=aad;ClientId=x", "https://h", "", ""},
		{"twice", "Endpoint=https://h;AccessKey=k;endpoint=https://i", "", "", "twice"},
		{"one part", "Endpoint=https://h", "", "", "at least"},
		{"no value", "Endpoint=https://h;AccessKey", "", "", "Name=value"},
		{"no endpoint", "Version=1.0;AccessKey=k", "", "", "Endpoint"},
		{"no key", "Endpoint=https://h;Version=1.0", "", "", "AccessKey"},
		{"version", "Endpoint=https://h;AccessKey=k;Version=2.0", "", "", "Version"},
		{"scheme", "Endpoint=ftp://h;AccessKey=k", "", "", "http"},
		{"port", "Endpoint=http://h;Port=70000;AccessKey=k", "", "", "port"},
		{"auth", "Endpoint=http://h;AuthType=x;AccessKey=k", "", "", "AuthType"},
		{"query", "Endpoint=http://h?x;AccessKey=k", "", "", "query"},
		{"client endpoint", "Endpoint=http://h;AccessKey=k;ClientEndpoint=x", "", "", "ClientEndpoint"},
		{"line end", "Endpoint=http://h;AccessKey=k\n;", "", "", "control"},
	} {
		got, err := ParseConnectionString(c.text)
		if got.Endpoint != c.endpoint || got.Key.Reveal() != c.key || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestConnectionStringPrints(t *testing.T) {
	c, err := ParseConnectionString(emulator)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Text(), "Endpoint=http://localhost:8888;AccessKey=ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH;Version=1.0;"; got != want {
		t.Errorf("Text: %s", got)
	}
	if all := fmt.Sprintf("%v %+v %#v %s", c, c, c, c); strings.Contains(all, "ABCDEF") {
		t.Error("the key was printed")
	}
	if _, err := ParseConnectionString("Endpoint=https://hush;AccessKey=hush;Port=hush"); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("the error repeats a value: %v", err)
	}
}

func keys(texts ...string) Keys {
	var values []secret.Value
	for _, k := range texts {
		values = append(values, secret.New(k))
	}
	return func() []secret.Value { return values }
}

func TestClientToken(t *testing.T) {
	given := realtime.Claims{User: "ann", Custom: map[string]string{
		"role": "host", "aud": "mine", "sub": "other", "asrs.s.uid": "other", "asrs.u.x": "y", NameIdentifier: "z",
	}}
	token, err := SignClient(secret.New("primary"), "https://h.example:8443", "Chat", given)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []Verifier{
		{Keys: keys("primary")}, {Keys: keys("secondary", "primary")}, {Keys: keys("", "primary"), Hosts: []string{"other", "H.example"}},
	} {
		c, err := v.Client(token, "chat")
		if err != nil {
			t.Fatal(err)
		}
		if c.User != "ann" || !cmp.Equal(c.Custom, given.Custom) || time.Until(c.Expires) < 59*time.Minute {
			t.Errorf("got %+v", c)
		}
	}
	for name, err := range map[string]error{
		"other hub":  second(Verifier{Keys: keys("primary")}.Client(token, "other")),
		"other key":  second(Verifier{Keys: keys("other")}.Client(token, "chat")),
		"no key":     second(Verifier{Keys: keys()}.Client(token, "chat")),
		"empty key":  second(Verifier{Keys: keys("")}.Client(token, "chat")),
		"other host": second(Verifier{Keys: keys("primary"), Hosts: []string{"x"}}.Client(token, "chat")),
		"data plane": Verifier{Keys: keys("primary")}.REST(token, "/client/"),
	} {
		if !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SignClient(secret.New("k"), "https://h", "chat", realtime.Claims{User: strings.Repeat("x", 5000)}); !errors.Is(err, ErrTokenTooLong) {
		t.Errorf("long token: %v", err)
	}
	if _, err := SignClient(secret.Value{}, "https://h", "chat", realtime.Claims{}); err == nil {
		t.Error("signed without a key")
	}
}

func second[T any](_ T, err error) error { return err }

// signAs signs any claims by any method, as a hand-written or hostile signer would.
func signAs(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "-1234567" // .NET's random number
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokenMatrix(t *testing.T) {
	v := Verifier{Keys: keys("key")}
	soon := time.Now().Add(time.Minute).Unix()
	hs := func(claims jwt.MapClaims) string {
		return signAs(t, jwt.SigningMethodHS256, []byte("key"), claims)
	}
	rest := func(aud any) string { return hs(jwt.MapClaims{"aud": aud, "exp": soon}) }
	const path = "/api/hubs/chat/groups/a%2Fb/:send"
	const url = "http://localhost:8888" + path
	for _, c := range []struct {
		name, token, path string
		ok                bool
	}{
		{"docs style", rest(url), path, true},
		{"SDK style", rest("http://localhost" + path + "?api-version=2024-12-01&application=x"), path, true},
		{"slash at the end", rest(url + "/"), path, true},
		{"array", rest([]string{"x", url}), path, true},
		{"encoded differently", rest("http://h/api/hubs/chat/groups/a%2fb/%3Asend"), path, true},
		{"hub in another case", rest("http://h/api/hubs/CHAT/groups/a%2Fb/:send"), path, true},
		{"not encoded", rest("http://h/api/v1/hubs/chat/groups/a b"), "/api/v1/hubs/chat/groups/a%20b", true},
		{"HS512", signAs(t, jwt.SigningMethodHS512, []byte("key"), jwt.MapClaims{"aud": url, "exp": soon}), path, true},
		{"begins soon", hs(jwt.MapClaims{"aud": url, "exp": soon, "nbf": soon - 30}), path, true},
		{"other path", rest(url), "/api/hubs/chat/groups/a/:send", false},
		{"other family", rest("http://h/api/v1/hubs/chat"), "/api/hubs/chat", false},
		{"slash is not encoded slash", rest("http://h/api/hubs/chat/groups/a/b/:send"), path, false},
		{"group in another case", rest("http://h/api/hubs/chat/groups/A%2Fb/:send"), path, false},
		{"client token", rest("http://h/client/?hub=chat"), path, false},
		{"path without host", rest(path), path, false},
		{"prefix", rest("http://h/api/hubs/chat"), path, false},
		{"no audience", hs(jwt.MapClaims{"exp": soon}), path, false},
		{"audience is a number", rest(1), path, false},
		{"no expiry", hs(jwt.MapClaims{"aud": url}), path, false},
		{"expired", hs(jwt.MapClaims{"aud": url, "exp": time.Now().Add(-time.Second).Unix()}), path, false},
		{"begins later", hs(jwt.MapClaims{"aud": url, "exp": soon + 9000, "nbf": soon + 6000}), path, false},
		{"HS384", signAs(t, jwt.SigningMethodHS384, []byte("key"), jwt.MapClaims{"aud": url, "exp": soon}), path, false},
		{"none", signAs(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"aud": url, "exp": soon}), path, false},
		{"other key", signAs(t, jwt.SigningMethodHS256, []byte("kex"), jwt.MapClaims{"aud": url, "exp": soon}), path, false},
		{"nothing", "", path, false},
		{"long", strings.Repeat("a", MaxToken+1), path, false},
	} {
		if err := v.REST(c.token, c.path); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	client := func(aud string) error {
		return second(v.Client(rest(aud), "app_chat"))
	}
	for aud, ok := range map[string]bool{
		"https://h/client/?hub=app_chat": true, "http://h:1/client?HUB=App_Chat": true, "https://h/client/?hub=app_chat&asrs.op=%2Fx": true,
		"https://h/client/?hub=chat": false, "https://h/client/": false, "https://h/client/?hub=app_chat&hub=b": false,
		"https://h/client/?hub=app_chat&HUB=app_chat": false, "https://h/server/?hub=app_chat": false, "https://h/api/hubs/app_chat/:send": false, "https://h/?hub=app_chat": false,
	} {
		if err := client(aud); (err == nil) != ok {
			t.Errorf("client audience %s: %v", aud, err)
		}
	}
}

func TestUserOfToken(t *testing.T) {
	v := Verifier{Keys: keys("key")}
	for _, c := range []struct {
		claims jwt.MapClaims
		want   string
	}{
		{jwt.MapClaims{"asrs.s.uid": "a", "nameid": "b", "sub": "c"}, "a"},
		{jwt.MapClaims{"nameid": "b", "sub": "c"}, "b"},
		{jwt.MapClaims{NameIdentifier: "b", "sub": "c"}, "b"},
		{jwt.MapClaims{"sub": "c"}, "c"},
		{jwt.MapClaims{"asrs.u.sub": "c"}, ""},
		{jwt.MapClaims{"sub": 7}, ""},
	} {
		c.claims["aud"], c.claims["exp"] = "http://h/client/?hub=x", time.Now().Add(time.Hour).Unix()
		got, err := v.Client(signAs(t, jwt.SigningMethodHS256, []byte("key"), c.claims), "x")
		if err != nil || got.User != c.want {
			t.Errorf("%v: %q %v", c.claims, got.User, err)
		}
	}
	got, err := v.Client(signAs(t, jwt.SigningMethodHS256, []byte("key"), jwt.MapClaims{
		"aud": "http://h/client/?hub=x", "exp": time.Now().Add(time.Hour).Unix(), "n": int64(9007199254740993), "list": []string{"a", "b"},
	}), "X")
	if want := map[string]string{"n": "9007199254740993", "list": `["a","b"]`}; err != nil || !cmp.Equal(got.Custom, want) {
		t.Errorf("claims that are no strings: %v %v", got.Custom, err)
	}
}

func TestRESTTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, err := SignREST(secret.New("k"), "https://h:1/api/hubs/x/:send?excluded=a")
		if err != nil {
			t.Fatal(err)
		}
		v := Verifier{Keys: keys("k"), Hosts: []string{"h"}}
		if err := v.REST(token, "/api/hubs/x/:send"); err != nil {
			t.Error(err)
		}
		time.Sleep(restLifetime)
		if err := v.REST(token, "/api/hubs/x/:send"); !errors.Is(err, ErrToken) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func FuzzParseConnectionString(f *testing.F) {
	for _, s := range []string{emulator, "Endpoint=https://h/;AccessKey=a==", ";;", "Endpoint=http://[::1]:1;AuthType=aad;ClientId=x;Port=3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConnectionString(text)
		if err != nil {
			return
		}
		again, err := ParseConnectionString(c.Text())
		if err != nil {
			t.Fatalf("%q printed as %q, which does not parse: %v", text, c.Text(), err)
		}
		if again.Text() != c.Text() || !again.Key.Equal(c.Key) {
			t.Fatalf("%q: %q became %q", text, c.Text(), again.Text())
		}
	})
}

func FuzzVerify(f *testing.F) {
	token, err := SignREST(secret.New("k"), "https://h/api/hubs/x/:send")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token, "/api/hubs/x/:send")
	f.Add("a.b.c", "/%zz")
	v := Verifier{Keys: keys("k")}
	f.Fuzz(func(t *testing.T, token, path string) {
		if v.REST(token, path) == nil && second(v.Client(token, "x")) == nil {
			t.Fatal("one token for both planes")
		}
	})
}
