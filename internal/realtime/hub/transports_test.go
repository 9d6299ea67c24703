package hub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/realtimetest"
	"causeway/internal/signalr"
)

// web is a client that does without WebSockets.
type web struct {
	*testing.T
	http  *http.Client
	url   string // with the id
	token string
}

func newWeb(t *testing.T, h *hub.Hub, origin string, o realtimetest.Options) *web {
	t.Helper()
	ep := endpoint(t, h, origin, "ann")
	n, err := realtimetest.Negotiate(t.Context(), ep, o)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: o.Dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{T: t, http: &http.Client{Transport: tr}, url: ep.URL + "&id=" + n.ConnectionToken, token: ep.AccessToken}
}

func (w *web) start(ctx context.Context, method, body string, header ...string) *http.Response {
	w.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

// do returns status and body.
func (w *web) do(method, body string) (int, string) {
	w.Helper()
	res := w.start(context.Background(), method, body)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (w *web) want(method, body string, status int, answer string) {
	w.Helper()
	if got, b := w.do(method, body); got != status || b != answer {
		w.Errorf("%s %q: %d %q, want %d %q", method, body, got, b, status, answer)
	}
}

const hello = `{"protocol":"json","version":1}` + "\x1e"

func echo(_ context.Context, _ realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	return m.Arguments[0], nil
}

func TestLongPolling(t *testing.T) {
	ended := make(chan string, 1)
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{invoked: echo, disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
	w := newWeb(t, h, origin, realtimetest.Options{})
	w.want("POST", hello, 404, "No Connection with that ID\n") // not before the first poll
	w.want("GET", "", 200, "")                                 // which is empty
	w.want("POST", hello, 200, "")
	w.want("GET", "", 200, "{}\x1e")
	w.want("POST", `{"type":1,"invocationId":"1","target":"echo","arguments":[5]}`+"\x1e"+`{"type":1,"invocationId":"2","target":"echo","arguments":[6]}`+"\x1e", 200, "")
	got := ""
	for !strings.Contains(got, `"2"`) {
		status, b := w.do("GET", "")
		if status != 200 || !strings.HasSuffix(b, "\x1e") {
			t.Fatalf("%d %q", status, b)
		}
		got += b
	}
	if want := `{"type":3,"invocationId":"1","result":5}` + "\x1e" + `{"type":3,"invocationId":"2","result":6}` + "\x1e"; got != want {
		t.Errorf("got %q", got)
	}
	if status, _ := w.do("PUT", ""); status != 405 {
		t.Errorf("PUT: %d", status)
	}
	w.want("DELETE", "", 202, "")
	if why := <-ended; why != "" {
		t.Errorf("ended with %q", why)
	}
	w.want("DELETE", "", 404, "No Connection with that ID\n")
	w.want("GET", "", 404, "No Connection with that ID\n")
}

// TestLongPollingSuperseded checks that a poll ends when the next comes, and that
// the next gets what is sent then.
func TestLongPollingSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		w := newWeb(t, h, "http://hub", realtimetest.Options{Dial: dial})
		w.want("GET", "", 200, "")
		w.want("POST", hello, 200, "")
		w.want("GET", "", 200, "{}\x1e")
		first, second := make(chan int, 1), make(chan string, 1)
		go func() { s, _ := w.do("GET", ""); first <- s }()
		synctest.Wait()
		go func() { _, b := w.do("GET", ""); second <- b }()
		if s := <-first; s != 204 {
			t.Errorf("superseded poll: %d", s)
		}
		m, _ := realtime.NewMessage("news")
		if err := h.Service("chat").Send(t.Context(), realtime.User("ann"), m); err != nil {
			t.Fatal(err)
		}
		if b := <-second; b != `{"type":1,"target":"news","arguments":[]}`+"\x1e" {
			t.Errorf("got %q", b)
		}
		w.http.CloseIdleConnections()
		stop()
	})
}

// TestLongPollingClose checks that a client learns of the end by a message, then 204.
func TestLongPollingClose(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	w := newWeb(t, h, origin, realtimetest.Options{})
	w.want("GET", "", 200, "")
	w.want("POST", hello, 200, "")
	w.want("GET", "", 200, "{}\x1e")
	if err := h.Service("chat").(realtime.Closer).CloseConnections(t.Context(), realtime.All(), "bye"); err != nil {
		t.Fatal(err)
	}
	w.want("GET", "", 200, `{"type":7,"error":"bye","allowReconnect":true}`+"\x1e")
	w.want("GET", "", 204, "")
	w.want("GET", "", 404, "No Connection with that ID\n")
}

// TestLongPollingDrain checks that a hub which stops does not wait for clients that
// have heard of it and left, as the official one leaves: by DELETE, without a poll.
func TestLongPollingDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		w := newWeb(t, h, "http://hub", realtimetest.Options{Dial: dial})
		w.want("GET", "", 200, "")
		w.want("POST", hello, 200, "")
		w.want("GET", "", 200, "{}\x1e")
		left := make(chan struct{})
		go func() {
			defer close(left)
			w.want("GET", "", 200, `{"type":7,"error":"The server is shutting down.","allowReconnect":true}`+"\x1e")
			w.want("DELETE", "", 202, "")
			w.http.CloseIdleConnections()
		}()
		synctest.Wait()
		start := time.Now()
		stop()
		<-left
		if d := time.Since(start); d > time.Second {
			t.Errorf("drained in %v", d)
		}
	})
}

func TestLongPollingTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan string, 1)
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
		w := newWeb(t, h, "http://hub", realtimetest.Options{Dial: dial})
		w.want("GET", "", 200, "")
		w.want("POST", hello, 200, "")
		w.want("GET", "", 200, "{}\x1e")
		start := time.Now()
		w.want("GET", "", 200, "") // no pings either
		within(t, "empty answer", time.Since(start), 90*time.Second)
		time.Sleep(10 * time.Second)
		start = time.Now()
		w.want("GET", "", 200, "")
		within(t, "empty answer", time.Since(start), 90*time.Second)
		start = time.Now()
		if why := <-ended; why != hub.ReasonTimeout.Text() {
			t.Errorf("ended with %q", why)
		}
		within(t, "end without polls", time.Since(start), 15*time.Second)
		w.http.CloseIdleConnections()
		stop()
	})
}

func TestServerSentEvents(t *testing.T) {
	ended := make(chan string, 1)
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{invoked: echo, disconnected: func(_ realtime.Connection, why string) { ended <- why }})})
	w := newWeb(t, h, origin, realtimetest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res := w.start(ctx, "GET", "", "Accept", "text/event-stream")
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	r := bufio.NewReader(res.Body)
	line := func(want string) {
		t.Helper()
		if got, err := r.ReadString('\n'); err != nil || got != want+"\r\n" {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	line(":")
	w.want("POST", hello, 200, "")
	line("data: {}\x1e")
	line("")
	w.want("POST", `{"type":1,"invocationId":"1","target":"echo","arguments":[[1,`+"\r\n"+`2]]}`+"\x1e", 200, "")
	line(`data: {"type":3,"invocationId":"1","result":[1, `) // the line break is the client's own
	line("data: 2]}\x1e")
	line("")
	if again := w.start(ctx, "GET", "", "Accept", "text/event-stream"); again.StatusCode != 409 {
		t.Errorf("a second stream: %d", again.StatusCode)
	} else {
		again.Body.Close()
	}
	w.want("GET", "", 400, "Cannot change transports mid-connection\n")
	w.want("DELETE", "", 400, "Cannot terminate this connection via the DELETE endpoint.\n")
	cancel()
	if why := <-ended; why != "" {
		t.Errorf("ended with %q", why)
	}
}

// TestServerSentEventsEnd checks a close by the application, and that the protocol
// must be text.
func TestServerSentEventsEnd(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	w := newWeb(t, h, origin, realtimetest.Options{})
	res := w.start(t.Context(), "GET", "", "Accept", "text/event-stream")
	w.want("POST", `{"protocol":"messagepack","version":1}`+"\x1e", 200, "")
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || !strings.Contains(string(b), "Cannot use the 'messagepack' protocol on the current transport.") {
		t.Errorf("got %q, %v", b, err)
	}
	w = newWeb(t, h, origin, realtimetest.Options{})
	res = w.start(t.Context(), "GET", "", "Accept", "text/event-stream")
	w.want("POST", hello, 200, "")
	if err := h.Service("chat").(realtime.Closer).CloseConnections(t.Context(), realtime.All(), ""); err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(res.Body)
	res.Body.Close()
	if want := ":\r\ndata: {}\x1e\r\n\r\ndata: {\"type\":7,\"allowReconnect\":true}\x1e\r\n\r\n"; err != nil || string(b) != want {
		t.Errorf("got %q, %v, want %q", b, err, want)
	}
}

func TestServerSentEventsPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, dial, stop := serveMemory(t, hub.Config{Handlers: chat(funcs{})})
		w := newWeb(t, h, "http://hub", realtimetest.Options{Dial: dial})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res := w.start(ctx, "GET", "", "Accept", "text/event-stream")
		w.want("POST", hello, 200, "")
		r := bufio.NewReader(res.Body)
		start := time.Now()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, `{"type":6}`) {
				break
			}
		}
		within(t, "ping", time.Since(start), 15*time.Second)
		cancel()
		res.Body.Close()
		w.http.CloseIdleConnections()
		stop()
	})
}

// TestWebSocketHTTP checks what a WebSocket connection answers to other requests.
func TestWebSocketHTTP(t *testing.T) {
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{})})
	ep := endpoint(t, h, origin, "")
	n, err := realtimetest.Negotiate(t.Context(), ep, realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	nc, _, err := realtimetest.Open(t.Context(), ep, n.ConnectionToken, realtimetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, tt := range []struct {
		method string
		want   int
	}{{"POST", 405}, {"DELETE", 400}, {"GET", 400}} {
		if status, _, body := do(t, tt.method, ep.URL+"&id="+n.ConnectionToken, ep.AccessToken, hello); status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.method, status, body, tt.want)
		}
	}
	if _, _, err := realtimetest.Open(t.Context(), ep, n.ConnectionToken, realtimetest.Options{}); err == nil || !strings.Contains(err.Error(), "409") {
		t.Errorf("a second WebSocket: %v", err)
	}
}

// TestSkipNegotiation connects without an id, and checks what the handler sees.
func TestSkipNegotiation(t *testing.T) {
	seen := make(chan realtime.Connection, 1)
	h, origin := serve(t, hub.Config{Handlers: chat(funcs{connected: func(c realtime.Connection) { seen <- c }})})
	ep := endpoint(t, h, origin, "ann")
	ep.URL += "&room=7&access_token=x"
	for _, p := range signalr.Protocols() {
		c, err := realtimetest.Dial(t.Context(), ep, realtimetest.Options{SkipNegotiation: true, Protocol: p})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got.User != "ann" || got.Hub != "chat" || got.Query != "?hub=chat&room=7" || got.ID == "" {
			t.Errorf("%+v", got)
		}
		c.Close()
	}
}
