package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"causeway/internal/loop"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// byLoop is the header that says who has answered.
const byLoop = "By-Loop"

// handler answers like the realtime service does, and shows what it was asked.
func handler(w http.ResponseWriter, r *http.Request) {
	if _, ok := w.(*reply); ok {
		w.Header().Set(byLoop, "yes")
	}
	switch r.URL.Path {
	case "/quick/panic":
		panic("on purpose")
	case "/quick/none":
		w.WriteHeader(http.StatusNoContent)
		return
	case "/quick/error":
		http.Error(w, "no", http.StatusTeapot)
		return
	case "/quick/bye":
		w.Header().Set("Connection", "close")
	}
	body, _ := io.ReadAll(r.Body)
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+r.Host+" "+host+" "+r.Header.Get("X")+" "+string(body))
}

type fixture struct {
	*Front
	addr string
	srv  *http.Server
	out  context.CancelFunc
	done chan error
}

// serve runs a Front with net/http behind it.
func serve(t *testing.T, h http.HandlerFunc, change func(*Front)) *fixture {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, ln, h, change)
}

func serveAt(t *testing.T, ln net.Listener, h http.HandlerFunc, change func(*Front)) *fixture {
	t.Helper()
	f := New(ln.(*net.TCPListener), Config{
		Handler: h,
		Quick: func(b []byte) bool {
			return bytes.HasPrefix(b, []byte("GET /quick")) || bytes.HasPrefix(b, []byte("POST /quick"))
		},
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeader: 8 << 10,
		Logger:     slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
	})
	if change != nil {
		change(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	fx := &fixture{Front: f, addr: ln.Addr().String(), srv: srv, out: cancel, done: make(chan error, 1)}
	go func() { fx.done <- f.Run(ctx) }()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(f.HTTP()) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error("close:", err)
		}
		cancel()
		if err := <-fx.done; err != nil {
			t.Error("run:", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error("serve:", err)
		}
	})
	return fx
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends bytes in pieces and returns everything that comes back until the end,
// which our end of writing brings about.
func ask(t *testing.T, addr string, pieces ...string) string {
	t.Helper()
	c := dial(t, addr)
	for _, p := range pieces {
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(c)
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String()
		}
	}
}

var date = regexp.MustCompile(`Date: [^\r]*\r\n`)

// TestSameAsNetHTTP sends the same bytes to a Front and to net/http alone: the answers
// are the same to the byte, whoever has given them.
func TestSameAsNetHTTP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref := &http.Server{Handler: http.HandlerFunc(handler), MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = ref.Serve(ln) }()
	t.Cleanup(func() { ref.Close() })
	f := serve(t, handler, nil)

	const host, end, bye = "Host: a.example:80\r\n", "\r\n", "Connection: close\r\n"
	for name, tt := range map[string]struct {
		pieces []string
		loop   bool // answered there
	}{
		"get":               {[]string{"GET /quick?a=b%20c HTTP/1.1\r\n" + host + bye + "X: y\r\n" + end}, true},
		"post":              {[]string{"POST /quick/%41 HTTP/1.1\r\n" + host + bye + "Content-Length: 0\r\n" + end}, true},
		"error":             {[]string{"GET /quick/error HTTP/1.1\r\n" + host + bye + end}, true},
		"no content":        {[]string{"GET /quick/none HTTP/1.1\r\n" + host + bye + end}, true},
		"handler closes":    {[]string{"GET /quick/bye HTTP/1.1\r\n" + host + end}, true},
		"two spaces":        {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "X:  y  \r\n" + end}, true},
		"header twice":      {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "X: y\r\nX: z\r\n" + end}, true},
		"other path":        {[]string{"GET / HTTP/1.1\r\n" + host + bye + end}, false},
		"in pieces":         {[]string{"GET /quick HT", "TP/1.1\r\n" + host + bye, end}, false},
		"body":              {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Content-Length: 4\r\n" + end + "body"}, false},
		"body later":        {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Content-Length: 4\r\n" + end, "body"}, false},
		"chunked":           {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Transfer-Encoding: chunked\r\n" + end, "1\r\nx\r\n0\r\n\r\n"}, false},
		"length and chunks": {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" + end, "0\r\n\r\n"}, false},
		"two lengths":       {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Content-Length: 0\r\nContent-Length: 1\r\n" + end, "x"}, false},
		"pipelined":         {[]string{"GET /quick/1 HTTP/1.1\r\n" + host + end + "GET /quick/2 HTTP/1.1\r\n" + host + bye + end}, false},
		"no host":           {[]string{"GET /quick HTTP/1.1\r\n" + bye + end}, false},
		"two hosts":         {[]string{"GET /quick HTTP/1.1\r\n" + host + "host: b\r\n" + bye + end}, false},
		"odd host":          {[]string{"GET /quick HTTP/1.1\r\nHost: a/b\r\n" + bye + end}, false},
		"empty host":        {[]string{"GET /quick HTTP/1.1\r\nHost:\r\n" + bye + end}, false},
		"absolute":          {[]string{"GET http://b.example/quick HTTP/1.1\r\n" + host + bye + end}, false},
		"1.0":               {[]string{"GET /quick HTTP/1.0\r\n" + host + end}, false},
		"2.0":               {[]string{"GET /quick HTTP/2.0\r\n" + host + end}, false},
		"no version":        {[]string{"GET /quick\r\n" + host + end}, false},
		"bad name":          {[]string{"GET /quick HTTP/1.1\r\n" + host + "X y: z\r\n" + bye + end}, false},
		"space before":      {[]string{"GET /quick HTTP/1.1\r\n" + host + "X : z\r\n" + bye + end}, false},
		"folded":            {[]string{"GET /quick HTTP/1.1\r\n" + host + "X: z\r\n w\r\n" + bye + end}, false},
		"control":           {[]string{"GET /quick HTTP/1.1\r\n" + host + "X: z\x01\r\n" + bye + end}, false},
		"bare lf":           {[]string{"GET /quick HTTP/1.1\n" + host + bye + end}, false},
		"bare lf at end":    {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "X: y\n\r\n"}, false},
		"bare cr":           {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "X: y\rZ: z\r\n" + end}, false},
		"no colon":          {[]string{"GET /quick HTTP/1.1\r\n" + host + "nonsense\r\n" + bye + end}, false},
		"expect":            {[]string{"POST /quick HTTP/1.1\r\n" + host + bye + "Expect: 100-continue\r\nContent-Length: 0\r\n" + end}, false},
		"odd expectation":   {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "Expect: cake\r\n" + end}, false},
		"long":              {[]string{"GET /quick HTTP/1.1\r\n" + host + bye + "X: " + strings.Repeat("y", 20_000) + "\r\n" + end}, false},
		"nonsense":          {[]string{"\x16\x03\x01 hello\r\n\r\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			want := ask(t, ln.Addr().String(), tt.pieces...)
			got := ask(t, f.addr, tt.pieces...)
			by := byLoop + ": yes\r\n"
			if len(tt.pieces) == 1 && strings.Contains(got, by) != tt.loop { // pieces may come as one
				t.Errorf("answered by the loop: %v", !tt.loop)
			}
			got = date.ReplaceAllString(strings.ReplaceAll(got, by, ""), "")
			want = date.ReplaceAllString(want, "")
			if sorted(got) != sorted(want) {
				t.Errorf("answer\n%q, want\n%q", got, want)
			}
		})
	}
}

// sorted has the lines of a head in the order of their names, which means nothing.
func sorted(answer string) string {
	head, body, _ := strings.Cut(answer, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for i := range lines {
		for j := i + 1; j < len(lines) && i > 0; j++ {
			if lines[j] < lines[i] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return strings.Join(lines, "\n") + "\n\n" + body
}

// TestKeepAlive asks over one connection, of both, again and again.
func TestKeepAlive(t *testing.T) {
	f := serve(t, handler, nil)
	c := dial(t, f.addr)
	r := bufio.NewReader(c)
	for i, path := range []string{"/quick", "/quick/error", "/quick", "/other", "/quick"} {
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		if quick := res.Header.Get(byLoop) != ""; quick != (i < 3) { // net/http keeps what it got
			t.Errorf("request %d was answered by the loop: %v", i, quick)
		}
	}
}

// TestClientAddress: an IPv4 client of a listener for both is called by its IPv4 address.
func TestClientAddress(t *testing.T) {
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	f := serveAt(t, ln, handler, nil)
	_ = f
	for _, path := range []string{"/quick", "/other"} {
		got := ask(t, "127.0.0.1:"+port, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.Contains(got, path+" a 127.0.0.1 ") {
			t.Errorf("%q", got)
		}
	}
}

// TestPanic: a handler that panics costs its connection only.
func TestPanic(t *testing.T) {
	f := serve(t, handler, nil)
	if got := ask(t, f.addr, "GET /quick/panic HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
		t.Errorf("answer %q", got)
	}
	if got := ask(t, f.addr, "GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("afterwards: %q", got)
	}
}

// echo is a loop.Source that sends back.
type echo struct{ sock *loop.Socket }

func (e *echo) Readable(t *loop.Turn) {
	n, open := e.sock.Read(t.Buffer())
	if _, err := e.sock.Write(t.Buffer()[:n]); !open || err != nil {
		e.sock.Close()
	}
}
func (e *echo) Writable() {}

// TestHijack takes a connection over.
func TestHijack(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Error("taken over twice")
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Error("wrote after it was taken over")
		}
		if nc.RemoteAddr().String() == nc.LocalAddr().String() {
			t.Error("addresses")
		}
		if _, err := nc.Read(nil); err == nil {
			t.Error("read")
		}
		_, _ = rw.WriteString("taken\n")
		if err := rw.Flush(); err != nil {
			t.Error(err)
		}
		e := new(echo)
		e.sock = nc.(Taker).Take(e)
	}, nil)
	c := dial(t, f.addr)
	if _, err := io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "taken\n" {
		t.Fatal(line, err)
	}
	for range 3 {
		if _, err := io.WriteString(c, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); line != "hello\n" {
			t.Fatal(line, err)
		}
	}
	if err := f.srv.Close(); err != nil { // concerns it no more
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "still\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); line != "still\n" {
		t.Fatal(line, err)
	}
}

// closed waits for the end of a connection.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestSilence(t *testing.T) {
	f := serve(t, handler, func(f *Front) { f.cfg.HeaderTimeout = time.Millisecond })
	closed(t, dial(t, f.addr))
	if n := testutil.ToFloat64(f.closed.WithLabelValues("header_timeout")); n != 1 {
		t.Errorf("%v were counted", n)
	}

	f = serve(t, handler, func(f *Front) { f.cfg.IdleTimeout = time.Millisecond })
	c := dial(t, f.addr)
	if _, err := io.WriteString(c, "GET /quick/none HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 204 {
		t.Fatal(res, err)
	}
	closed(t, c)
	if n := testutil.ToFloat64(f.closed.WithLabelValues("idle")); n != 1 {
		t.Errorf("%v were counted", n)
	}
}

// TestOverflow: who has been silent longest makes room.
func TestOverflow(t *testing.T) {
	f := serve(t, handler, func(f *Front) { f.pending = 2 })
	a, b, c := dial(t, f.addr), dial(t, f.addr), dial(t, f.addr)
	closed(t, a)
	for _, c := range []net.Conn{b, c} {
		if _, err := io.WriteString(c, "GET /quick/none HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 204 {
			t.Error(res, err)
		}
	}
	dial(t, f.addr)
	closed(t, b) // nobody is fresh but the new one
}

// TestTooMuch: an answer that the socket does not take at once ends the connection.
func TestTooMuch(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<20)) }, nil)
	c := dial(t, f.addr)
	if _, err := io.WriteString(c, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if n, _ := io.Copy(io.Discard, c); n >= 64<<20 {
		t.Errorf("read %d bytes", n)
	}
}

func TestEnd(t *testing.T) {
	f := serve(t, handler, nil)
	c := dial(t, f.addr)
	if _, err := io.WriteString(c, "GET /quick/none HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 204 {
		t.Fatal(res, err)
	}
	if err := f.srv.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, c)
	f.out()
	if err := <-f.done; err != nil {
		t.Error(err)
	}
	f.done <- nil
	if c, err := net.Dial("tcp", f.addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("GET /quick HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"))
	f.Add([]byte("POST /quick?a=b HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !plain(b) {
			return
		}
		if n := bytes.Count(b, []byte("\r\n\r\n")); n != 1 {
			t.Errorf("%d heads", n)
		}
		if r := parse(b); r != nil && (r.Host == "" || r.Body != http.NoBody) {
			t.Errorf("host %q, body %v", r.Host, r.Body)
		}
	})
}
