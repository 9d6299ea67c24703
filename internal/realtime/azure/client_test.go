package azure

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"

	"github.com/golang-jwt/jwt/v5"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func newClient(t *testing.T, connection string, via transport) *Client {
	t.Helper()
	conn, err := accesskey.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ClientConfig{Connection: func() accesskey.ConnectionString { return conn }, Hub: "Chat", Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const azureString = "Endpoint=https://x.service.signalr.net;AccessKey=a2V5;Version=1.0;"

// TestGoldenRequest: a request as Azure's documentation has it.
func TestGoldenRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	via := transport(func(r *http.Request) (*http.Response, error) {
		got = r
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		return answer(202, "")
	})
	m, err := realtime.NewMessage("news", "a<b", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := newClient(t, azureString, via).Send(t.Context(), realtime.Group("a/b", "c1", "c2"), m); err != nil {
		t.Fatal(err)
	}
	const path = "https://x.service.signalr.net/api/hubs/chat/groups/a%2Fb/:send"
	if got.Method != "POST" || got.URL.String() != path+"?api-version=2024-12-01&excluded=c1&excluded=c2" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
	}
	if string(body) != `{"target":"news","arguments":["a\u003cb",1]}` {
		t.Errorf("body %s", body)
	}
	token, _ := strings.CutPrefix(got.Header.Get("Authorization"), "Bearer ")
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte("a2V5"), nil }); err != nil || claims["aud"] != path || claims["exp"] == nil {
		t.Errorf("token %v %v", claims, err) // the key is the text, not what it is the base64 of
	}
}

func TestEndpoints(t *testing.T) {
	var got *http.Request
	via := transport(func(r *http.Request) (*http.Response, error) { got = r; return answer(202, "") })
	c := newClient(t, "Endpoint=http://localhost;Port=8888;AccessKey=k;ClientEndpoint=https://edge.example/rt;ServerEndpoint=http://inside:99", via)
	if err := c.Send(t.Context(), realtime.All(), realtime.Message{Target: "t"}); err != nil {
		t.Fatal(err)
	}
	token, _ := strings.CutPrefix(got.Header.Get("Authorization"), "Bearer ")
	v := accesskey.Verifier{Keys: func() []secret.Value { return []secret.Value{secret.New("k")} }, Hosts: []string{"localhost"}}
	if got.URL.Host != "inside:99" || v.REST(token, "/api/hubs/chat/:send") != nil {
		t.Errorf("%s: %v", got.URL, v.REST(token, "/api/hubs/chat/:send"))
	}
	e, err := c.Negotiate(t.Context(), realtime.Claims{User: "ann", Custom: map[string]string{"sub": "x"}})
	if err != nil || e.URL != "https://edge.example/rt/client/?hub=chat" {
		t.Fatalf("%+v %v", e, err)
	}
	if got, err := v.Client(e.AccessToken, "chat"); err != nil || got.User != "ann" || got.Custom["sub"] != "x" {
		t.Errorf("%+v %v", got, err)
	}
	if v.REST(e.AccessToken, "/api/hubs/chat/:send") == nil {
		t.Error("a client's token opens the data plane")
	}
}

// TestAnswers: a missing thing is told from a missing endpoint by the header alone.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status            int
		code, body        string
		sent, gone, unsup bool
	}{
		{202, "", "", true, false, false},
		{404, "Error.Connection.NotExisted", "", true, true, false},
		{404, "", `{"code":"NotFound"}`, false, false, true},
		{405, "", "", false, false, true},
		{501, "", `{"code":"NotImplemented","message":"m"}`, false, false, true},
		{401, "", "", false, false, false}, {429, "", "", false, false, false}, {500, "", "<html>", false, false, false}, {302, "", "", false, false, false},
	} {
		client := newClient(t, azureString, func(*http.Request) (*http.Response, error) {
			return answer(c.status, c.body, "x-ms-error-code", c.code)
		})
		if err := client.Send(t.Context(), realtime.All(), realtime.Message{Target: "t"}); (err == nil) != c.sent {
			t.Errorf("%d %s: send: %v", c.status, c.code, err)
		}
		err := client.JoinGroup(t.Context(), "g", "c")
		if errors.Is(err, realtime.ErrNoConnection) != c.gone || errors.Is(err, errors.ErrUnsupported) != c.unsup || (err == nil) != (c.status == 202) {
			t.Errorf("%d %s: join: %v", c.status, c.code, err)
		}
	}
	const quiet = "hush"
	client := newClient(t, azureString, func(*http.Request) (*http.Response, error) { return nil, errors.New("broken") })
	if err := client.Send(t.Context(), realtime.User(quiet), realtime.Message{Target: "t"}); err == nil || strings.Contains(err.Error(), quiet) {
		t.Errorf("the error names a user: %v", err)
	}
}

// TestCountByListing: Azure cannot count, but list a group.
func TestCountByListing(t *testing.T) {
	pages := []string{
		`{"value":[{"connectionId":"a","userId":"u"},{"connectionId":"b","userId":null}],"nextLink":"https://x/api/hubs/chat/groups/g/connections?continuationToken=n%2B1&api-version=2024-12-01"}`,
		`{"value":[{"connectionId":"c","userId":"u"}],"nextLink":null}`,
	}
	c := newClient(t, azureString, func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, ":count") {
			return answer(404, "")
		}
		page := 0
		if token := r.URL.Query().Get("continuationToken"); token == "n+1" {
			page = 1
		}
		return answer(200, pages[page])
	})
	if n, users, err := c.Count(t.Context(), realtime.Group("g")); err != nil || n != 3 || users != 1 {
		t.Errorf("%d %d %v", n, users, err)
	}
	if _, _, err := c.Count(t.Context(), realtime.All()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("all: %v", err)
	}
}

func TestNewClientRefuses(t *testing.T) {
	aad, err := accesskey.ParseConnectionString("Endpoint=https://h;AuthType=azure.msi;ClientId=x")
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []ClientConfig{{}, {Hub: "x"}, {Hub: "x", Connection: func() accesskey.ConnectionString { return aad }}} {
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
