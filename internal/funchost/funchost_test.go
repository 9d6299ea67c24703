package funchost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestMain is also the handler that the tests' hosts start: this binary, told so by a setting.
func TestMain(m *testing.M) {
	if kind := os.Getenv("TEST_HANDLER"); kind != "" {
		if err := handle(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func handle(kind string) error {
	if kind == "dies" {
		return fmt.Errorf("it does not start")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }) // any answer will do
	mux.HandleFunc("/tick", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Data     map[string]struct{ IsPastDue bool }
			Metadata struct{ Sys struct{ MethodName string } }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Data) != 1 || body.Metadata.Sys.MethodName != "tick" {
			w.WriteHeader(400)
			return
		}
		_, _ = io.WriteString(w, `{"Outputs":{},"Logs":["ticked"],"ReturnValue":null}`)
	})
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	mux.HandleFunc("/envelope", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Data map[string]struct{ Method, Body string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(500)
			return
		}
		b, _ := json.Marshal(body.Data["req"].Method + " " + body.Data["req"].Body)
		fmt.Fprintf(w, `{"Outputs":{"res":{"statusCode":"201","headers":{"X-Mine":"yes"},"body":%s}},"Logs":null,"ReturnValue":null}`, b)
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/away" {
			w.Header().Set("Set-Cookie", "a=b")
			http.Redirect(w, r, "/api/elsewhere", http.StatusFound)
			return
		}
		if r.URL.Path == "/api/die" {
			os.Exit(3)
		}
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(418)
		_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "header": r.Header, "body": string(body), "mode": os.Getenv("MODE"), "pid": os.Getpid(), "leaked": os.Getenv("CAUSEWAY_LEAKED"), "runtime": os.Getenv("FUNCTIONS_WORKER_RUNTIME")})
	})
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), mux)
}

const hostJSON = `{"version":"2.0","functionTimeout":"00:00:30","customHandler":{"description":{"defaultExecutablePath":"%s"},"enableProxyingHttpRequest":%t}}`

func files(t *testing.T, forwards bool) fstest.MapFS {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"host.json":              {Data: fmt.Appendf(nil, hostJSON, self, forwards)},
		"all/function.json":      {Data: []byte(`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","route":"{*path}"},{"type":"http","direction":"out","name":"res"}]}`)},
		"envelope/function.json": {Data: []byte(`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["put"],"route":"one/{id}/end"},{"type":"http","direction":"out","name":"res"}]}`)},
		"tick/function.json":     {Data: []byte(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"*/1 * * * * *"}]}`)},
	}
}

// run starts a Host with this binary as its handler.
func run(t *testing.T, forwards bool, instances ...int) (*Host, string) {
	t.Helper()
	t.Setenv("CAUSEWAY_LEAKED", "from outside")
	app, err := Load(files(t, forwards))
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{App: app, Dir: t.TempDir(), Instances: append(instances, 1)[0], Settings: []string{"TEST_HANDLER=answers", "MODE=a setting"}, Output: t.Output(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		cancel()
		<-ended // killed by SIGTERM, which this handler does not mind
	})
	<-h.Ready()
	return h, server.URL
}

func ask(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, w.Header, b
}

func TestForwarding(t *testing.T) {
	h, url := run(t, true)
	status, _, body := ask(t, "POST", url+"/api/a%2Fb/c?q=1&q=%20", "the body", "Cookie", "c=d", "X-Forwarded-For", "198.51.100.1", "X-Forwarded-Host", "site.example", "X-Asrs-Signature", "sha256=00", "User-Agent", "browser")
	var seen struct {
		URI, Body, Mode, Leaked, Runtime string
		Header                           http.Header
	}
	if err := json.Unmarshal(body, &seen); err != nil {
		t.Fatal(err)
	}
	if status != 418 || seen.URI != "/api/a%2Fb/c?q=1&q=%20" || seen.Body != "the body" || seen.Mode != "a setting" || seen.Leaked != "" || seen.Runtime != "custom" {
		t.Errorf("%d %+v", status, seen)
	}
	for name, want := range map[string]string{"X-Forwarded-For": "198.51.100.1, 127.0.0.1", "X-Forwarded-Host": "site.example", "X-Asrs-Signature": "sha256=00", "User-Agent": "browser Azure-Functions-Host/" + Version, "X-Azure-Functions-Hostversion": Version} {
		if got := seen.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(seen.Header.Get("X-Azure-Functions-Invocationid")) != 36 || len(seen.Header.Get("Traceparent")) != 55 {
		t.Errorf("%v", seen.Header)
	}
	if status, header, _ := ask(t, "GET", url+"/api/away", ""); status != 302 || header.Get("Location") != "/api/elsewhere" {
		t.Errorf("a redirect: %d %v", status, header)
	}
	if status, _, _ := ask(t, "GET", url+"/tick", ""); status != 404 {
		t.Errorf("a timer from outside: %d", status)
	}
	if err := h.Fire(t.Context(), "tick"); err != nil || h.Calls("tick") == 0 {
		t.Error(err)
	}
	if h.Fire(t.Context(), "all") == nil {
		t.Error("a function without a timer was fired")
	}
	if pid, start := h.Handler(); pid == 0 || start <= 0 {
		t.Error(pid, start)
	}
}

func TestEnvelope(t *testing.T) {
	_, url := run(t, false)
	status, header, body := ask(t, "PUT", url+"/api/one/7/end", "text")
	if status != 201 || header.Get("X-Mine") != "yes" || string(body) != "PUT text" {
		t.Errorf("%d %v %s", status, header, body)
	}
	if status, _, _ := ask(t, "POST", url+"/api/one/7/end", ""); status != 500 { // leads to "all", which this handler does not have
		t.Errorf("a failing function: %d", status)
	}
}

func TestHandlerThatDies(t *testing.T) {
	app, err := Load(files(t, true))
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{App: app, Settings: []string{"TEST_HANDLER=dies"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "before it answered") {
		t.Errorf("%v", err)
	}
}

// Instances take calls in turn; when one has ended, the others take its.
func TestInstances(t *testing.T) {
	_, url := run(t, true, 2)
	called := func() (pid int) {
		_, _, body := ask(t, "GET", url+"/api/x", "")
		var seen struct{ PID int }
		_ = json.Unmarshal(body, &seen) // 0: none answered
		return seen.PID
	}
	first, second := called(), called()
	if first == 0 || first == second || called() != first || called() != second {
		t.Errorf("handlers %d and %d do not take turns", first, second)
	}
	if status, _, _ := ask(t, "GET", url+"/api/die", ""); status != 502 {
		t.Errorf("a call that kills its handler: %d", status)
	}
	for n := 0; ; n++ { // until the host knows that it has ended
		if a, b := called(), called(); a == second && b == second {
			break
		}
		if n == 1000 {
			t.Fatal("the one that is left does not get all calls")
		}
	}
}

func TestRoutes(t *testing.T) {
	app, err := Load(files(t, true))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"PUT /api/one/2/end": "envelope", "PUT /API/one": "", "PUT /api/One/x/END/": "envelope", "GET /api/one/2/end": "all", "GET /api/x": "all", "GET /api/": "all", "GET /": "", "GET /other": "",
	} {
		method, rest, _ := strings.Cut(path, " ")
		f, allowed := app.find(method, rest)
		got := ""
		if f != nil && allowed {
			got = f.name
		}
		if got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS){
		"no host.json": func(m fstest.MapFS) { delete(m, "host.json") },
		"no handler":   func(m fstest.MapFS) { m["host.json"] = &fstest.MapFile{Data: []byte(`{"version":"2.0"}`)} },
		"a timeout": func(m fstest.MapFS) {
			m["host.json"].Data = []byte(strings.Replace(string(m["host.json"].Data), "00:00:30", "soon", 1))
		},
		"another level": func(m fstest.MapFS) {
			m["all/function.json"].Data = []byte(strings.Replace(string(m["all/function.json"].Data), "anonymous", "function", 1))
		},
		"no output": func(m fstest.MapFS) {
			m["all/function.json"].Data = []byte(`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous"}]}`)
		},
		"another binding": func(m fstest.MapFS) {
			m["all/function.json"].Data = []byte(`{"bindings":[{"type":"queueTrigger","direction":"in","name":"q"}]}`)
		},
		"a schedule": func(m fstest.MapFS) {
			m["tick/function.json"].Data = []byte(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"* * *"}]}`)
		},
		"no JSON": func(m fstest.MapFS) { m["tick/function.json"].Data = []byte(`{`) },
		"without a function": func(m fstest.MapFS) {
			delete(m, "all/function.json")
			delete(m, "envelope/function.json")
			delete(m, "tick/function.json")
		},
	} {
		m := files(t, true)
		change(m)
		if _, err := Load(m); err == nil {
			t.Errorf("%s: it was loaded", name)
		}
	}
}

func TestSchedule(t *testing.T) {
	at := time.Date(2026, 11, 30, 23, 59, 30, 5, time.UTC)
	for text, want := range map[string]string{
		"0 * * * * *":          "2026-12-01T00:00:00Z",
		"*/15 * * * * *":       "2026-11-30T23:59:45Z",
		"31,40-50/5 * * * * *": "2026-11-30T23:59:31Z",
		"0 30 4 1 1 *":         "2027-01-01T04:30:00Z",
		"0 0 12 * * 1-5":       "2026-12-01T12:00:00Z",
		"0 0 0 30 2 *":         "0001-01-01T00:00:00Z",
	} {
		s, err := parseSchedule(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.next(at).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, text := range []string{"", "* * * * *", "60 * * * * *", "a * * * * *", "*/0 * * * * *", "5-1 * * * * *", "* * * 0 * *"} {
		if _, err := parseSchedule(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
