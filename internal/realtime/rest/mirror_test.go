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
	"causeway/internal/realtime/azure"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"
	"causeway/internal/signalr"
)

// inMemory is a transport that calls a handler, and keeps what goes wrong.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	m.ServeHTTP(w, in)
	return w.Result(), nil
}

// client is azure.Client → rest.Handler → service.
func client(t *testing.T, service realtime.Service, application string) *azure.Client {
	t.Helper()
	conn, err := accesskey.ParseConnectionString("Endpoint=http://localhost;Port=8888;AccessKey=second;Version=1.0;")
	if err != nil {
		t.Fatal(err)
	}
	h := handler(t, service, func(cfg *rest.HandlerConfig) { cfg.Hosts = []string{"localhost"} })
	c, err := azure.NewClient(azure.ClientConfig{
		Connection: func() accesskey.ConnectionString { return conn }, Hub: "Chat", Application: application, Transport: inMemory{h},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDataPlaneMirror: what is asked of the client reaches the service as it was asked.
func TestDataPlaneMirror(t *testing.T) {
	ctx := t.Context()
	m, err := realtime.NewMessage("hello", 1, nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	const odd = "a/b c?d#e%2F:ü&+=\\'\""
	for _, c := range []struct {
		name, notes string
		do          func(*azure.Client) error
		want        error
	}{
		{"all", `send all: hello[1,null,"x"]`, func(c *azure.Client) error { return c.Send(ctx, realtime.All(), m) }, nil},
		{"all but", `send all but c1,` + odd + `: hello[1,null,"x"]`, func(c *azure.Client) error { return c.Send(ctx, realtime.All("c1", odd), m) }, nil},
		{"group", "send group " + odd + " but c1: t[]", func(c *azure.Client) error {
			return c.Send(ctx, realtime.Group(odd, "c1"), realtime.Message{Target: "t"})
		}, nil},
		{"dots", "send group ..: t[]", func(c *azure.Client) error {
			return c.Send(ctx, realtime.Group(".."), realtime.Message{Target: "t"})
		}, nil},
		{"user", "send user " + odd + ": t[]", func(c *azure.Client) error {
			return c.Send(ctx, realtime.User(odd), realtime.Message{Target: "t"})
		}, nil},
		{"connection", "send connection c9: t[]", func(c *azure.Client) error {
			return c.Send(ctx, realtime.ToConnection("c9"), realtime.Message{Target: "t"})
		}, nil},
		{"raw", `raw all: json="{\"type\":1,\"target\":\"t\",\"arguments\":[]}\x1e"`, func(c *azure.Client) error {
			return c.SendRaw(ctx, realtime.All(), map[string][]byte{"json": []byte("{\"type\":1,\"target\":\"t\",\"arguments\":[]}\x1e")})
		}, nil},
		{"join", "join " + odd + " c1", func(c *azure.Client) error { return c.JoinGroup(ctx, odd, "c1") }, nil},
		{"join nobody", "join g c9", func(c *azure.Client) error { return c.JoinGroup(ctx, "g", "c9") }, realtime.ErrNoConnection},
		{"leave", "leave g c1", func(c *azure.Client) error { return c.LeaveGroup(ctx, "g", "c1") }, nil},
		{"leave nobody", "leave g c9", func(c *azure.Client) error { return c.LeaveGroup(ctx, "g", "c9") }, nil},
		{"leave all", "leave all c1", func(c *azure.Client) error { return c.LeaveAllGroups(ctx, "c1") }, nil},
		{"close", `close c1 "be gone & stay"`, func(c *azure.Client) error { return c.CloseConnection(ctx, "c1", "be gone & stay") }, nil},
		{"close nobody", `close c9 ""`, func(c *azure.Client) error { return c.CloseConnection(ctx, "c9", "") }, realtime.ErrNoConnection},
		{"close all", `close all of all but c1 "r"`, func(c *azure.Client) error { return c.CloseConnections(ctx, realtime.All("c1"), "r") }, nil},
		{"close group", `close all of group g ""`, func(c *azure.Client) error { return c.CloseConnections(ctx, realtime.Group("g"), "") }, nil},
		{"close user", `close all of user ann ""`, func(c *azure.Client) error { return c.CloseConnections(ctx, realtime.User("ann"), "") }, nil},
		{"close one of many", `close c9 ""`, func(c *azure.Client) error { return c.CloseConnections(ctx, realtime.ToConnection("c9"), "") }, nil},
		{"add user", "add user g " + odd + " -1ns", func(c *azure.Client) error { return c.AddUserToGroup(ctx, "g", odd, -1) }, nil},
		{"add user now", "add user g ann 0s", func(c *azure.Client) error { return c.AddUserToGroup(ctx, "g", "ann", 0) }, nil},
		{"add user for a while", "add user g ann 2s", func(c *azure.Client) error { return c.AddUserToGroup(ctx, "g", "ann", 1500*time.Millisecond) }, nil},
		{"remove user", "remove user g ann", func(c *azure.Client) error { return c.RemoveUserFromGroup(ctx, "g", "ann") }, nil},
		{"remove user from all", "remove user ann", func(c *azure.Client) error { return c.RemoveUserFromAllGroups(ctx, "ann") }, nil},
	} {
		for _, application := range []string{"", "app"} {
			f := populated()
			if err := c.do(client(t, f, application)); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			if got := f.notes(); got != c.notes {
				t.Errorf("%s: the service was told %s", c.name, got)
			}
		}
	}
}

func TestPresenceMirror(t *testing.T) {
	ctx := t.Context()
	f := populated()
	for i := range 450 {
		f.connect(fmt.Sprintf("x%03d", i), fmt.Sprintf("user%d", i%7), "big")
	}
	c := client(t, f, "")
	for who, want := range map[string]struct {
		who                realtime.Recipient
		connections, users int
	}{
		"all": {realtime.All(), 454, 9}, "group": {realtime.Group("a/b"), 1, 1}, "big group": {realtime.Group("big"), 450, 7}, "user": {realtime.User("ann"), 2, 1},
		"connection": {realtime.ToConnection("c1"), 1, 1}, "no connection": {realtime.ToConnection("c9"), 0, 0},
		"no group": {realtime.Group("none"), 0, 0}, "no user": {realtime.User("eve"), 0, 0},
	} {
		found, err := c.Exists(ctx, want.who)
		if err != nil || found != (want.connections > 0) {
			t.Errorf("%s exists: %t %v", who, found, err)
		}
		connections, users, err := c.Count(ctx, want.who)
		if err != nil || connections != want.connections || users != want.users {
			t.Errorf("%s: %d connections, %d users, %v", who, connections, users, err)
		}
		seen, pages := map[string]bool{}, 0
		for after := ""; ; pages++ {
			page, next, err := c.Connections(ctx, want.who, after, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				seen[p.ConnectionID] = true
			}
			if after = next; next == "" {
				break
			}
		}
		if len(seen) != want.connections || pages != (max(want.connections, 1)-1)/200 {
			t.Errorf("%s: listed %d on %d further pages", who, len(seen), pages)
		}
	}
	for id, want := range map[string]bool{"c1": true, "c9": false} {
		if found, err := c.Exists(ctx, realtime.ToConnection(id)); err != nil || found != want {
			t.Errorf("%s: %t %v", id, found, err)
		}
	}
	if err := c.AddUserToGroup(ctx, "g", "ann", -1); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]bool{"ann": true, "bob": false} {
		if in, err := c.UserInGroup(ctx, "g", user); err != nil || in != want {
			t.Errorf("%s in g: %t %v", user, in, err)
		}
	}
	less := client(t, plain{f}, "")
	if _, err := less.Exists(ctx, realtime.Group("g")); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a service without presence: %v", err)
	}
}

func TestInvokeMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := populated()
		c := client(t, f, "")
		m, err := realtime.NewMessage("ask", 7)
		if err != nil {
			t.Fatal(err)
		}
		f.invoke = func(_ context.Context, m realtime.Message) (json.RawMessage, error) { return m.Arguments[0], nil }
		if v, err := c.Invoke(t.Context(), "c1", m); err != nil || string(v) != "7" {
			t.Errorf("%s %v", v, err)
		}
		if _, err := c.Invoke(t.Context(), "c9", m); !errors.Is(err, realtime.ErrNoConnection) {
			t.Errorf("nobody: %v", err)
		}
		f.invoke = func(context.Context, realtime.Message) (json.RawMessage, error) {
			return nil, &realtime.Error{Code: "client_error", Message: "no"}
		}
		var told *realtime.Error
		if _, err := c.Invoke(t.Context(), "c1", m); !errors.As(err, &told) || *told != (realtime.Error{Code: "client_error", Message: "no"}) {
			t.Errorf("the client's error: %v", err)
		}
		f.invoke = func(ctx context.Context, _ realtime.Message) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var status *azure.StatusError
		if _, err := c.Invoke(t.Context(), "c1", m); !errors.As(err, &status) || status.Status != 504 {
			t.Errorf("no answer: %v", err)
		}
	})
}

// application is a handler that notes what it is told and answers.
type application struct {
	told chan string
	err  error
}

func (a *application) Connected(_ context.Context, c realtime.Connection) {
	a.told <- fmt.Sprintf("connected %+v", c)
}

func (a *application) Invoked(_ context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	args, _ := json.Marshal(m.Arguments)
	a.told <- fmt.Sprintf("%s invoked %s%s", c.ID, m.Target, args)
	if a.err != nil || len(m.Arguments) == 0 {
		return nil, a.err
	}
	return m.Arguments[0], nil
}

func (a *application) Disconnected(_ context.Context, c realtime.Connection, reason string) {
	a.told <- fmt.Sprintf("disconnected %s %q", c.ID, reason)
}

// webhookTo is rest.Webhook → azure.Upstream → app.
func webhookTo(t *testing.T, app *application) *rest.Webhook {
	t.Helper()
	upstream, err := azure.NewUpstream(azure.UpstreamConfig{
		Keys: func() []secret.Value { return []secret.Value{secret.New("second")} }, // the other side's secondary
		Handler: func(hub string) realtime.Handler {
			if hub == "chat" {
				return app
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	hook, err := rest.NewWebhook(rest.WebhookConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hook.Close)
	if err := hook.Reload(t.Context(), []rest.Template{{URL: server.URL + "/api/{hub}/{category}/{event}?code=x"}}); err != nil {
		t.Fatal(err)
	}
	return hook
}

func TestConnectionsMirror(t *testing.T) {
	app := &application{told: make(chan string, 1)}
	hook := webhookTo(t, app)
	conn := realtime.Connection{ID: "c1", Hub: "chat", User: "ünn", Query: "?a=b", Claims: map[string]string{"role": "host, of sorts", "aud": "mine"}}
	hook.Connected(t.Context(), conn)
	if got, want := <-app.told, fmt.Sprintf("connected %+v", conn); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	hook.Disconnected(t.Context(), conn, "went away")
	if got := <-app.told; got != `disconnected c1 "went away"` {
		t.Error(got)
	}
	conn.Hub = "other"
	got, err := hook.InvokedRaw(t.Context(), conn, "json", "t", []byte(`{"type":1,"invocationId":"7","target":"t","arguments":[]}`), true)
	if err != nil || !strings.Contains(string(got), "status code 404") {
		t.Errorf("no such hub: %s %v", got, err)
	}
}

func TestInvocationsMirror(t *testing.T) {
	app := &application{told: make(chan string, 1)}
	hook := webhookTo(t, app)
	conn := realtime.Connection{ID: "c1", Hub: "chat"}
	for _, p := range signalr.Protocols() {
		for _, c := range []struct {
			args string // of the invocation
			err  error  // of the handler
			id   string
			want signalr.Message
		}{
			{`[{"n":9007199254740993}]`, nil, "7", signalr.Message{Value: json.RawMessage(`{"n":9007199254740993}`)}},
			{`[null]`, nil, "7", signalr.Message{Value: json.RawMessage(`null`)}},
			{`[]`, nil, "7", signalr.Message{}},
			{`[1]`, &realtime.Error{Code: "full", Message: "No room."}, "7", signalr.Message{Error: "full: No room."}},
			{`[1]`, errors.New("db password hush"), "7", signalr.Message{Error: "An unexpected error occurred invoking the method on the server."}},
			{`[1]`, nil, "", signalr.Message{}},
		} {
			app.err = c.err
			m := signalr.Message{Type: signalr.Invocation, InvocationID: c.id, Target: "se nd"}
			if err := json.Unmarshal([]byte(c.args), &m.Arguments); err != nil {
				t.Fatal(err)
			}
			framed := frame(t, p, m)
			raw := framed[1:] // one byte of length
			if p == signalr.JSON {
				raw = framed[:len(framed)-1]
			}
			got, err := hook.InvokedRaw(t.Context(), conn, p.String(), "se nd", raw, c.id != "")
			if err != nil {
				t.Fatal(err)
			}
			if told := <-app.told; told != "c1 invoked se nd"+c.args {
				t.Error(told)
			}
			if c.id == "" {
				if got != nil {
					t.Errorf("%s: an answer that nobody wants: %q", p, got)
				}
				continue
			}
			c.want.Type, c.want.InvocationID = signalr.Completion, c.id
			if want := frame(t, p, c.want); string(got) != string(want) {
				t.Errorf("%s %s: %q, want %q", p, c.args, got, want)
			}
		}
	}
}
