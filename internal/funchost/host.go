package funchost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Version is what the double says it is a host of.
const Version = "4.1045.0"

// Config configures a Host. App is required.
type Config struct {
	App *App
	// Dir is the app's folder, in which the handler runs and its executable is looked for.
	Dir string
	// Settings are app settings, NAME=value.
	Settings []string
	// Instances is how many handlers run, which take calls in turn; 1 by default.
	Instances int
	// Output gets what the handlers print; nil discards.
	Output io.Writer
	Logger *slog.Logger // nil discards
	// Traced returns the traceparent of a call; nil makes one for each, that is sampled.
	Traced func() string
}

const (
	startPatience = 60 * time.Second
	pollEvery     = 25 * time.Millisecond
	stopPatience  = 10 * time.Second
	restartPause  = time.Second
	maxBody       = 100 << 20
	maxEnvelope   = 1 << 20
)

// Host is safe for concurrent use.
type Host struct {
	cfg    Config
	client *http.Client
	proxy  *httputil.ReverseProxy
	ready  chan struct{} // closed when all handlers have answered for the first time

	mu       sync.Mutex
	handlers []handler
	turn     int // counts calls
	calls    map[string]int
}

// handler is one instance.
type handler struct {
	port int
	pid  int           // 0: it does not run
	took time.Duration // from start to the first answer
}

// New makes a Host; Run starts the handler.
func New(cfg Config) (*Host, error) {
	if cfg.App == nil {
		return nil, errors.New("functions host: no app")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Output == nil {
		cfg.Output = io.Discard
	}
	h := &Host{cfg: cfg, ready: make(chan struct{}), handlers: make([]handler, max(1, cfg.Instances)), calls: map[string]int{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second}
	h.client = &http.Client{
		Transport: transport, Timeout: cfg.App.timeout + time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	h.proxy = &httputil.ReverseProxy{Rewrite: h.rewrite, Transport: transport, ErrorHandler: h.failed, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug)}
	return h, nil
}

// Ready is closed when every handler has answered for the first time.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Handler returns the first handler's process id, and how long its start took.
func (h *Host) Handler() (pid int, start time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.handlers[0].pid, h.handlers[0].took
}

// set says what a handler is now.
func (h *Host) set(i int, now handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[i] = now
	select {
	case <-h.ready:
		return
	default:
	}
	for _, one := range h.handlers {
		if one.pid == 0 {
			return
		}
	}
	close(h.ready)
}

// Calls returns how often a function was called.
func (h *Host) Calls(function string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[function]
}

func (h *Host) called(f *function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[f.name]++
}

// Run runs the handlers, again when they end, and the timers, until ctx ends. That one does not
// start the first time is an error.
func (h *Host) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range h.handlers {
		g.Go(func() error { return h.keepHandler(ctx, i) })
	}
	for i := range h.cfg.App.functions {
		if f := &h.cfg.App.functions[i]; f.timer {
			g.Go(func() error { return h.runTimer(ctx, f) })
		}
	}
	err := g.Wait()
	h.client.CloseIdleConnections()
	return err
}

// keepHandler runs a handler again and again.
func (h *Host) keepHandler(ctx context.Context, i int) error {
	for {
		err := h.runHandler(ctx, i)
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-h.ready:
		default:
			return err
		}
		h.cfg.Logger.Error("the handler has ended; it is started again", "err", err)
		select {
		case <-time.After(restartPause):
		case <-ctx.Done():
		}
	}
}

// runHandler starts a handler and waits for its end, which it brings about when ctx ends.
func (h *Host) runHandler(ctx context.Context, i int) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	command := exec.Command(h.executable(), h.cfg.App.Arguments...)
	command.Dir, command.Stdout, command.Stderr = h.cfg.Dir, h.cfg.Output, h.cfg.Output
	command.Env = append(inherited(), h.cfg.Settings...)
	command.Env = append(command.Env, "FUNCTIONS_WORKER_RUNTIME=custom", "FUNCTIONS_CUSTOMHANDLER_PORT="+strconv.Itoa(port))
	began := time.Now()
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the handler: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }() // ends with the process, for which both ways out wait
	if err := h.awaitReady(ctx, port, ended); err != nil {
		_ = command.Process.Kill() // it may have ended
		return err
	}
	h.set(i, handler{port, command.Process.Pid, time.Since(began)})
	defer h.set(i, handler{port: port})
	select {
	case err := <-ended:
		return fmt.Errorf("the handler ended: %w", errors.Join(err, errEnded))
	case <-ctx.Done():
	}
	_ = command.Process.Signal(syscall.SIGTERM) // likewise
	select {
	case err = <-ended:
	case <-time.After(stopPatience):
		_ = command.Process.Kill()
		err = errors.Join(errors.New("the handler did not end when it was told to"), <-ended)
	}
	return err
}

var errNoTimer = errors.New("there is no such timer")

var errEnded = errors.New("nobody asked it to")

// executable is the handler's: beside host.json, or in the search path.
func (h *Host) executable() string {
	name := h.cfg.App.Executable
	if local := filepath.Join(h.cfg.Dir, name); !filepath.IsAbs(name) {
		if _, err := os.Stat(local); err == nil {
			if whole, err := filepath.Abs(local); err == nil {
				return whole
			}
		}
	}
	return name
}

// inherited is the environment without settings, which come from the app only.
func inherited() (kept []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CAUSEWAY_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// freePort finds a port that nobody has now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// awaitReady polls until anything answers.
func (h *Host) awaitReady(ctx context.Context, port int, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	address := "http://127.0.0.1:" + strconv.Itoa(port) + "/"
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		if w, err := h.client.Do(r); err == nil {
			return w.Body.Close()
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the handler ended before it answered: %w", errors.Join(err, errEnded))
		case <-ctx.Done():
			return fmt.Errorf("the handler did not answer within %v of its start", startPatience)
		case <-time.After(pollEvery):
		}
	}
}

// ServeHTTP is the app's front end.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, allowed := h.cfg.App.find(r.Method, r.URL.Path)
	switch {
	case f == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	case !allowed:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	select { // who comes before that waits, as at a cold start
	case <-h.ready:
	case <-r.Context().Done():
		return
	}
	h.called(f)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if h.cfg.App.forwards {
		h.proxy.ServeHTTP(w, r)
		return
	}
	h.enveloped(w, r, f)
}

// base is where the handler is whose turn it is, of those that run.
func (h *Host) base() *url.URL {
	h.mu.Lock()
	defer h.mu.Unlock()
	port := 0
	for range h.handlers {
		h.turn++
		one := h.handlers[h.turn%len(h.handlers)]
		if port = one.port; one.pid != 0 {
			break
		}
	}
	return &url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(port)}
}

// rewrite makes the handler's request of a client's.
func (h *Host) rewrite(p *httputil.ProxyRequest) {
	base := h.base()
	p.Out.URL.Scheme, p.Out.URL.Host = base.Scheme, base.Host
	// The platform's front end adds the client; the host itself adds nothing.
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	p.SetXForwarded()
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := p.In.Header.Get(name); v != "" {
			p.Out.Header.Set(name, v)
		}
	}
	h.mark(p.Out.Header)
}

// mark adds what the host says about itself and the call.
func (h *Host) mark(header http.Header) {
	header.Set("X-Azure-Functions-InvocationId", uuid())
	header.Set("X-Azure-Functions-HostVersion", Version)
	header.Set("User-Agent", strings.TrimSpace(header.Get("User-Agent")+" Azure-Functions-Host/"+Version))
	if h.cfg.Traced != nil {
		header.Set("Traceparent", h.cfg.Traced())
	} else if header.Get("Traceparent") == "" {
		header.Set("Traceparent", "00-"+random(16)+"-"+random(8)+"-01")
	}
}

func (h *Host) failed(w http.ResponseWriter, r *http.Request, err error) {
	h.cfg.Logger.WarnContext(r.Context(), "the handler does not answer", "err", err)
	w.WriteHeader(http.StatusBadGateway)
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

func uuid() string {
	s := random(16)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// result is what a handler answers an envelope with.
type result struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// invoke calls a function with an envelope.
func (h *Host) invoke(ctx context.Context, f *function, data any) (result, error) {
	body, err := json.Marshal(map[string]any{
		"Data":     map[string]any{f.binding: data},
		"Metadata": map[string]any{"sys": map[string]string{"MethodName": f.name, "UtcNow": time.Now().UTC().Format(time.RFC3339Nano), "RandGuid": uuid()}},
	})
	if err != nil {
		return result{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base().String()+"/"+f.name, bytes.NewReader(body))
	if err != nil {
		return result{}, err
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	h.mark(r.Header)
	w, err := h.client.Do(r)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = w.Body.Close() }()
	if w.StatusCode < 200 || w.StatusCode > 299 {
		return result{}, fmt.Errorf("the handler answered with status %d", w.StatusCode)
	}
	var answer result
	if err := json.NewDecoder(io.LimitReader(w.Body, maxEnvelope)).Decode(&answer); err != nil {
		return result{}, fmt.Errorf("the handler's answer: %w", err)
	}
	for _, line := range answer.Logs {
		h.cfg.Logger.InfoContext(ctx, "the handler says", "function", f.name, "text", line)
	}
	return answer, nil
}
