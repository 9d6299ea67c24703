package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func keys() []secret.Value { return []secret.Value{secret.New("key"), secret.New("second")} }

func handler(t *testing.T, service realtime.Service, change func(*rest.HandlerConfig)) *rest.Handler {
	t.Helper()
	cfg := rest.HandlerConfig{
		Service: func(hub string) realtime.Service {
			if hub == "unknown" {
				return nil
			}
			return service
		},
		Keys: keys,
	}
	if change != nil {
		change(&cfg)
	}
	h, err := rest.NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// do sends a request as docs-style code does: the audience is the bare URL.
func do(t *testing.T, h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8888"+target, strings.NewReader(body))
	token, err := accesskey.SignREST(secret.New("second"), "http://localhost:8888"+target)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func populated() *fake {
	f := newFake()
	f.connect("c1", "ann", "g")
	f.connect("c2", "ann", "g", "a/b")
	f.connect("c3", "bob")
	f.connect("c4", "")
	return f
}

const hello = `{"target":"hello","arguments":[1,"x"]}`

const v = "?api-version=2024-12-01"

// operations is the table of spec §4.1, with the statuses of both families and the
// values of x-ms-error-code of §4.4.
var operations = []struct {
	method, target, body string
	status               int
	notes, code          string
}{
	{"POST", "/api/hubs/chat/:send" + v, hello, 202, `send all: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/:send" + v + "&excluded=c1&excluded=c2", hello, 202, `send all but c1,c2: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat", hello, 202, `send all: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat/:send", hello, 202, `send all: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat?excluded=c1", hello, 202, `send all but c1: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/users/ann/:send" + v, hello, 202, `send user ann: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat/users/a%2Fn%20n", hello, 202, `send user a/n n: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/groups/a%2Fb/:send" + v + "&excluded=c", hello, 202, `send group a/b but c: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/groups/%2E%2E/:send", hello, 202, `send group ..: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat/groups/g", hello, 202, `send group g: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/connections/c1/:send", hello, 202, `send connection c1: hello[1,"x"]`, ""},
	{"POST", "/api/v1/hubs/chat/connections/c1", hello, 202, `send connection c1: hello[1,"x"]`, ""},

	{"POST", "/api/hubs/chat/:closeConnections" + v + "&excluded=c1&reason=no%20more", "", 204, `close all of all but c1 "no more"`, ""},
	{"POST", "/api/hubs/chat/groups/g/:closeConnections" + v, "", 204, `close all of group g ""`, ""},
	{"POST", "/api/hubs/chat/users/ann/:closeConnections" + v + "&excluded=c1", "", 204, `close all of user ann but c1 ""`, ""},
	{"DELETE", "/api/hubs/chat/connections/c1" + v + "&reason=x", "", 200, `close c1 "x"`, ""},
	{"DELETE", "/api/v1/hubs/chat/connections/c1", "", 202, `close c1 ""`, ""},
	{"DELETE", "/api/v1/hubs/chat/connections/c9", "", 404, `close c9 ""`, "Warning.Connection.NotExisted"},

	{"HEAD", "/api/hubs/chat/connections/c1", "", 200, "exists connection c1", ""},
	{"GET", "/api/v1/hubs/chat/connections/c9", "", 404, "exists connection c9", "Warning.Connection.NotExisted"},
	{"HEAD", "/api/hubs/chat/connections/c9", "", 404, "exists connection c9", "Warning.Connection.NotExisted"},
	{"GET", "/api/hubs/chat/groups/g", "", 200, "exists group g", ""},
	{"HEAD", "/api/v1/hubs/chat/groups/no", "", 404, "exists group no", "Warning.Group.NotExisted"},
	{"HEAD", "/api/hubs/chat/users/ann", "", 200, "exists user ann", ""},
	{"GET", "/api/hubs/chat/users/eve", "", 404, "exists user eve", "Warning.User.NotExisted"},

	{"PUT", "/api/hubs/chat/groups/g/connections/c3", "", 200, "join g c3", ""},
	{"PUT", "/api/v1/hubs/chat/connections/c3/groups/g", "", 200, "join g c3", ""},
	{"PUT", "/api/hubs/chat/groups/g/connections/c9", "", 404, "join g c9", "Error.Connection.NotExisted"},
	{"DELETE", "/api/hubs/chat/groups/g/connections/c1", "", 200, "leave g c1", ""},
	{"DELETE", "/api/hubs/chat/connections/c9/groups/g", "", 200, "leave g c9", ""},
	{"DELETE", "/api/hubs/chat/connections/c9/groups", "", 200, "leave all c9", ""},

	{"PUT", "/api/hubs/chat/users/ann/groups/g" + v, "", 200, "add user g ann -1ns", ""},
	{"PUT", "/api/hubs/chat/users/ann/groups/g" + v + "&ttl=60", "", 200, "add user g ann 1m0s", ""},
	{"PUT", "/api/hubs/chat/users/ann/groups/g?ttl=0", "", 200, "add user g ann 0s", ""},
	{"PUT", "/api/hubs/chat/users/ann/groups/g?ttl=999999999999999", "", 200, "add user g ann 8760h0m0s", ""},
	{"PUT", "/api/hubs/chat/users/ann/groups/g?ttl=-1", "", 400, "", ""},
	{"PUT", "/api/hubs/chat/users/ann/groups/g?ttl=x", "", 400, "", ""},
	{"PUT", "/api/v1/hubs/chat/groups/g/users/ann", "", 202, "add user g ann -1ns", ""},
	{"DELETE", "/api/hubs/chat/users/ann/groups/g", "", 204, "remove user g ann", ""},
	{"DELETE", "/api/v1/hubs/chat/groups/g/users/ann", "", 202, "remove user g ann", ""},
	{"GET", "/api/hubs/chat/users/ann/groups/g", "", 404, "user in g ann", "Info.User.NotInGroup"},
	{"HEAD", "/api/v1/hubs/chat/groups/g/users/ann", "", 404, "user in g ann", "Info.User.NotInGroup"},
	{"DELETE", "/api/hubs/chat/users/ann/groups", "", 204, "remove user ann", ""},
	{"DELETE", "/api/v1/hubs/chat/users/ann/groups", "", 200, "remove user ann", ""},

	{"POST", "/api/hubs/chat/connections/c9/:invoke", hello, 404, "invoke c9 hello", "Error.Connection.NotExisted"},
	{"POST", "/api/hubs/chat/connections/c1/streams/s/:send", hello, 501, "", ""},
	{"POST", "/api/hubs/chat/connections/c1/streams/s/:complete", "", 501, "", ""},
	{"GET", "/api/v1/auth/accessKey", "", 501, "", ""},

	{"POST", "/api/hubs/Chat/:send?api-version=2031-01-01&application=App", hello, 202, `send all: hello[1,"x"]`, ""},
	{"POST", "/api/hubs/chat/:send?api-version=2021-01-01", hello, 400, "", ""},
	{"POST", "/api/hubs/chat/:send?api-version=x", hello, 400, "", ""},
	{"POST", "/api/hubs/1chat/:send", hello, 400, "", ""},
	{"POST", "/api/hubs/chat/:send?application=1", hello, 400, "", ""},
	{"POST", "/api/hubs/unknown/:send", hello, 404, "", ""},
	{"POST", "/api/hubs/chat/groups/%20/:send", hello, 400, "", ""},
	{"POST", "/api/hubs/chat/groups/" + strings.Repeat("g", 1025) + "/:send", hello, 400, "", ""},
	{"POST", "/api/hubs/chat/users//:send", hello, 400, "", ""},
	{"POST", "/api/hubs/chat", hello, 404, "", ""}, // a path of 1.0 only
	{"PATCH", "/api/hubs/chat/:send", hello, 405, "", ""},
	{"POST", "/api/hubs/chat/:nothing", hello, 404, "", ""},
	{"POST", "/other/hubs/chat/:send", hello, 404, "", ""},
}

func TestOperations(t *testing.T) {
	for _, c := range operations {
		f := populated()
		w := do(t, handler(t, f, nil), c.method, c.target, c.body)
		if w.Code != c.status || f.notes() != c.notes || w.Header().Get("x-ms-error-code") != c.code {
			t.Errorf("%s %s: %d %q %s (want %d %q)", c.method, c.target, w.Code, w.Header().Get("x-ms-error-code"), w.Body, c.status, c.notes)
		}
		if c.method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s %s has a body", c.method, c.target)
		}
		if w.Code >= 400 && c.method != "HEAD" {
			var detail struct{ Code, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &detail); err != nil || detail.Code == "" || detail.Message == "" {
				t.Errorf("%s %s: the body is no ErrorDetail: %s", c.method, c.target, w.Body)
			}
		}
	}
}

func TestHubWithApplication(t *testing.T) {
	var asked string
	f := newFake()
	h := handler(t, f, func(cfg *rest.HandlerConfig) {
		cfg.Service = func(hub string) realtime.Service { asked = hub; return f }
	})
	do(t, h, "POST", "/api/hubs/Chat/:send?application=MyApp", hello)
	if asked != "myapp_chat" {
		t.Errorf("asked for %q", asked)
	}
}

func TestHealthIsAnonymous(t *testing.T) {
	h := handler(t, newFake(), nil)
	for target, want := range map[string]int{"HEAD /api/health?api-version=2024-12-01": 200, "GET /api/v1/health": 200, "POST /api/health": 405} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// TestTokens: a client's token never calls the data plane, and a token for one
// path is good for no other.
func TestTokens(t *testing.T) {
	f := populated()
	h := handler(t, f, func(cfg *rest.HandlerConfig) { cfg.Hosts = []string{"localhost"} })
	client, err := accesskey.SignClient(secret.New("key"), "http://localhost", "chat", realtime.Claims{User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{
		"POST /api/hubs/chat/:send", "POST /api/v1/hubs/chat", "POST /api/hubs/chat/users/ann/:send", "POST /api/hubs/chat/groups/g/:send",
		"POST /api/hubs/other/:send", "DELETE /api/hubs/chat/connections/c1", "POST /api/hubs/chat/:closeConnections", "POST /api/hubs/chat/:generateToken",
		"POST /api/hubs/chat/:execute", "POST /api/hubs/chat/connections/c1/:invoke", "GET /api/hubs/chat/groups/g/connections", "GET /api/hubs/chat/:count",
	}
	call := func(method, path, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(hello))
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, signed := range paths {
		_, signedPath, _ := strings.Cut(signed, " ")
		token, err := accesskey.SignREST(secret.New("key"), "http://localhost"+signedPath)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range paths {
			method, path, _ := strings.Cut(asked, " ")
			if got := call(method, path, "Bearer "+token).Code; (got == 401) == (path == signedPath) {
				t.Errorf("a token for %s at %s: %d", signedPath, path, got)
			}
		}
		method, path, _ := strings.Cut(signed, " ")
		foreign, err := accesskey.SignREST(secret.New("key"), "http://elsewhere"+path)
		if err != nil {
			t.Fatal(err)
		}
		for what, authorization := range map[string]string{
			"client token": "Bearer " + client, "nothing": "", "no token": "Bearer ", "basic": "Basic " + token, "other host": "Bearer " + foreign,
		} {
			w := call(method, path, authorization)
			if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s at %s: %d", what, path, w.Code)
			}
		}
		if w := call(method, path+"?access_token="+token, ""); w.Code != 401 {
			t.Errorf("a token in the query at %s: %d", path, w.Code)
		}
	}
}

func TestKeysRotateWithoutRestart(t *testing.T) {
	current := []secret.Value{secret.New("old")}
	h := handler(t, newFake(), func(cfg *rest.HandlerConfig) { cfg.Keys = func() []secret.Value { return current } })
	ask := func() int { return do(t, h, "POST", "/api/hubs/chat/:send", hello).Code } // signed by "second"
	if got := ask(); got != 401 {
		t.Errorf("before: %d", got)
	}
	current = []secret.Value{secret.New("second"), secret.New("old")}
	if got := ask(); got != 202 {
		t.Errorf("after: %d", got)
	}
}

func TestSizeOfHead(t *testing.T) {
	h := handler(t, newFake(), nil)
	if w := do(t, h, "POST", "/api/hubs/chat/:send", hello, "X-Large", strings.Repeat("x", 17<<10)); w.Code != 431 {
		t.Errorf("headers: %d", w.Code)
	}
	if w := do(t, h, "POST", "/api/hubs/chat/:send?excluded="+strings.Repeat("x", 13<<10), hello); w.Code != 414 {
		t.Errorf("URI: %d", w.Code)
	}
}

func TestGenerateToken(t *testing.T) {
	f := newFake()
	h := handler(t, f, nil)
	w := do(t, h, "POST", "/api/hubs/chat/:generateToken?userId=ann&minutesToExpire=5&api-version=2022-11-01", "")
	var got struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	c, err := accesskey.Verifier{Keys: keys}.Client(got.Token, "chat")
	if err != nil || c.User != "ann" || f.notes() != "negotiate ann 5m0s" {
		t.Errorf("%+v %v", c, err)
	}
	for _, minutes := range []string{"0", "-1", "x", "525601"} {
		if w := do(t, h, "POST", "/api/hubs/chat/:generateToken?minutesToExpire="+minutes, ""); w.Code != 400 {
			t.Errorf("%s minutes: %d", minutes, w.Code)
		}
	}
}

func TestInvoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := populated()
		h := handler(t, f, nil)
		for _, c := range []struct {
			name   string
			invoke func(context.Context, realtime.Message) (json.RawMessage, error)
			status int
			body   string
		}{
			{"value", func(_ context.Context, m realtime.Message) (json.RawMessage, error) { return m.Arguments[1], nil }, 200, `{"result":"x"}`},
			{"void", func(context.Context, realtime.Message) (json.RawMessage, error) { return nil, nil }, 200, `{"result":null}`},
			{"client's error", func(context.Context, realtime.Message) (json.RawMessage, error) {
				return nil, &realtime.Error{Code: "client", Message: "no"}
			}, 400, `{"code":"client","message":"no"}`},
			{"no answer", func(ctx context.Context, _ realtime.Message) (json.RawMessage, error) {
				<-ctx.Done()
				return nil, fmt.Errorf("wait: %w", ctx.Err())
			}, 504, `{"code":"Timeout","message":"it took too long"}`},
			{"gone", func(context.Context, realtime.Message) (json.RawMessage, error) {
				return nil, realtime.ErrNoConnection
			}, 404, `{"code":"Error.Connection.NotExisted","message":"no such connection"}`},
			{"fault", func(context.Context, realtime.Message) (json.RawMessage, error) {
				return nil, errors.New("secret detail")
			}, 500, `{"code":"InternalError","message":"the service failed"}`},
		} {
			f.invoke = c.invoke
			if w := do(t, h, "POST", "/api/hubs/chat/connections/c1/:invoke?api-version=2024-12-01", hello); w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
			}
		}
	})
}

func TestServiceFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{realtime.ErrNoConnection, 202}, {errors.New("broken"), 500}, {&realtime.Error{Code: "x", Message: "y"}, 400},
	} {
		f := newFake()
		f.err = c.err
		if w := do(t, handler(t, f, nil), "POST", "/api/hubs/chat/:send", hello); w.Code != c.status {
			t.Errorf("%v: %d", c.err, w.Code)
		}
	}
}

func TestWithoutCapabilities(t *testing.T) {
	h := handler(t, plain{newFake()}, nil)
	for _, target := range []string{
		"POST /api/hubs/chat/:closeConnections", "POST /api/hubs/chat/:execute", "POST /api/hubs/chat/connections/c/:invoke", "GET /api/hubs/chat/groups/g",
		"GET /api/hubs/chat/groups/g/connections", "GET /api/hubs/chat/users", "GET /api/hubs/chat/:count", "PUT /api/hubs/chat/users/u/groups/g", "GET /api/hubs/chat/users/u/groups/g",
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := do(t, h, method, path, hello); w.Code != 501 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := populated()
		release := make(chan struct{})
		f.invoke = func(context.Context, realtime.Message) (json.RawMessage, error) { <-release; return nil, nil }
		h := handler(t, f, func(cfg *rest.HandlerConfig) { cfg.MaxConcurrent = 1 })
		done := make(chan int)
		go func() { done <- do(t, h, "POST", "/api/hubs/chat/connections/c1/:invoke", hello).Code }()
		synctest.Wait()
		if w := do(t, h, "POST", "/api/hubs/chat/:send", hello); w.Code != 429 {
			t.Errorf("the second: %d", w.Code)
		}
		close(release)
		if got := <-done; got != 200 {
			t.Errorf("the first: %d", got)
		}
		if w := do(t, h, "POST", "/api/hubs/chat/:send", hello); w.Code != 202 {
			t.Errorf("the third: %d", w.Code)
		}
	})
}

func TestHandlerMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	h := handler(t, newFake(), func(cfg *rest.HandlerConfig) { cfg.Registerer = registry })
	do(t, h, "POST", "/api/hubs/chat/:send", hello)
	do(t, h, "POST", "/api/hubs/chat/:send", hello, "Authorization", "Bearer x")
	want := `
# HELP causeway_rest_refused_total Refused data plane requests by reason.
# TYPE causeway_rest_refused_total counter
causeway_rest_refused_total{reason="unauthorized"} 1
# HELP causeway_rest_requests_total Data plane requests by operation and HTTP status.
# TYPE causeway_rest_requests_total counter
causeway_rest_requests_total{operation="send",status="202"} 1
causeway_rest_requests_total{operation="unknown",status="401"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if _, err := rest.NewHandler(rest.HandlerConfig{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
	if _, err := rest.NewHandler(rest.HandlerConfig{Service: func(string) realtime.Service { return nil }, Keys: keys, Registerer: registry}); err == nil {
		t.Error("metrics were registered twice")
	}
}

func TestHandlerDefaultTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := populated()
		f.invoke = func(ctx context.Context, _ realtime.Message) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begin := time.Now()
		do(t, handler(t, f, nil), "POST", "/api/hubs/chat/connections/c1/:invoke", hello)
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
