// Package emulate runs the serverless shape on one machine, each part of Azure by a double:
//
//	Static Web App        front: the pages, and /api passed on to the linked function app
//	Function App          package funchost, which starts this binary as `causeway functions` from host.json
//	SignalR Service       `causeway realtime`, with the function app as its upstream
//	a relay               what the app's settings name as providers; none by default
//
// It is for trying the shape, and for the tests of it: browsers, start-up, load.
package emulate

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/funchost"
	"causeway/internal/httpx"
	"causeway/internal/web"
)

// Config configures Run. DataDir and Executable are required.
type Config struct {
	// App is the folder of a Functions app, as it is deployed; empty: that of Files, with Executable.
	App   string
	Files fs.FS
	// Executable is causeway's, for the realtime service, and for the handler unless App has it.
	Executable string
	// Listen is where the pages are, HostListen where the function app is, RealtimeListen where the realtime service is.
	Listen, HostListen, RealtimeListen string
	DataDir                            string
	// Instances is how many handlers the function app has, which take requests in turn; 1 by default.
	Instances int
	// Settings are app settings, NAME=value, over those that make the parts meet.
	Settings []string
	Output   io.Writer // of the processes; nil discards
	Logger   *slog.Logger
	// Welcome is called when everything answers.
	Welcome func(*Shape) error
}

// Shape is the running parts.
type Shape struct {
	Origin   string // of the pages
	Realtime string // endpoint of the realtime service
	Host     *funchost.Host

	front, app net.Listener
}

// App is the origin of the function app.
func (s *Shape) App() string { return "http://" + s.app.Addr().String() }

const startPatience = 60 * time.Second

// Run runs the shape until ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	s := &Shape{}
	if s.front, err = net.Listen("tcp", cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = s.front.Close() }() // the server closes it, too
	if s.app, err = net.Listen("tcp", cfg.HostListen); err != nil {
		return fmt.Errorf("listen for the function app: %w", err)
	}
	defer func() { _ = s.app.Close() }()
	s.Origin = originOf(cfg.Listen, s.front)
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	connection, err := s.startRealtime(late, g, cfg)
	if err == nil {
		err = s.startHost(late, g, cfg, connection)
	}
	if err == nil {
		err = s.startFront(g, late, cfg)
	}
	if err == nil {
		select {
		case <-s.Host.Ready():
			if cfg.Welcome != nil {
				err = cfg.Welcome(s)
			}
		case <-gctx.Done():
		}
	}
	if err != nil {
		cancel()
		return errors.Join(err, g.Wait())
	}
	select {
	case <-ctx.Done():
	case <-gctx.Done():
	}
	cancel()
	return g.Wait()
}

// originOf is the address of a listener, by the name it was configured with.
func originOf(configured string, l net.Listener) string {
	host, _, err := net.SplitHostPort(configured)
	_, port, err2 := net.SplitHostPort(l.Addr().String())
	if err != nil || err2 != nil || host == "" {
		return "http://" + l.Addr().String()
	}
	return "http://" + net.JoinHostPort(host, port)
}

// startRealtime starts the service, and returns its connection string.
func (s *Shape) startRealtime(ctx context.Context, g *errgroup.Group, cfg Config) (string, error) {
	dir := filepath.Join(cfg.DataDir, "realtime")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "causeway.yaml")
	upstream := fmt.Sprintf("upstream:\n- url: http://%s/api/signalr?hub={hub}&category={category}&event={event}\n", s.app.Addr())
	if err := os.WriteFile(file, []byte(upstream), 0o600); err != nil {
		return "", err
	}
	command := exec.Command(cfg.Executable, "realtime", "--config", file, "--listen", cfg.RealtimeListen, "--data-dir", dir, "--log-level", "warn", "--drain-timeout", "1s")
	command.Stderr = cfg.Output
	out, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("start the realtime service: %w", err)
	}
	lines := make(chan string, 1)
	g.Go(func() error {
		stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGTERM) }) // it may have ended
		defer stop()
		line, _ := bufio.NewReader(out).ReadString('\n') // without one it ends, which Wait says
		lines <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out)
		if err := command.Wait(); err != nil || ctx.Err() == nil {
			return fmt.Errorf("the realtime service ended: %w", errors.Join(err, ctx.Err()))
		}
		return nil
	})
	select {
	case line := <-lines:
		endpoint, _, ok := strings.Cut(strings.TrimPrefix(line, "Endpoint="), ";")
		if !ok {
			return "", errors.New("the realtime service did not start")
		}
		s.Realtime = endpoint
		return line, nil
	case <-time.After(startPatience):
		return "", errors.New("the realtime service did not start in time")
	}
}

// startHost starts the function app.
func (s *Shape) startHost(ctx context.Context, g *errgroup.Group, cfg Config, connection string) error {
	files, dir := cfg.Files, cfg.DataDir
	if cfg.App != "" {
		files, dir = os.DirFS(cfg.App), cfg.App
	}
	app, err := funchost.Load(files)
	if err != nil {
		return err
	}
	if cfg.App == "" {
		app.Executable = cfg.Executable
	}
	key, err := signingKey(filepath.Join(cfg.DataDir, "signing.key"))
	if err != nil {
		return err
	}
	settings := append([]string{
		"AzureSignalRConnectionString=" + connection,
		"CAUSEWAY_SIGNING_KEY=file:" + key,
		"CAUSEWAY_PROXY_HOPS=2",
		"CAUSEWAY_DATA_DIR=" + filepath.Join(cfg.DataDir, "functions"),
	}, cfg.Settings...)
	if s.Host, err = funchost.New(funchost.Config{App: app, Dir: dir, Instances: cfg.Instances, Settings: settings, Output: cfg.Output, Logger: cfg.Logger}); err != nil {
		return err
	}
	g.Go(func() error { return s.Host.Run(ctx) })
	serve(ctx, g, s.app, s.Host)
	return nil
}

// signingKey returns the absolute path of a key, which it makes if there is none.
func signingKey(file string) (string, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	return file, os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600)
}

// startFront serves the pages, which may connect to the realtime service besides their own origin.
func (s *Shape) startFront(g *errgroup.Group, ctx context.Context, cfg Config) error {
	pages, err := web.New()
	if err != nil {
		return err
	}
	app := &url.URL{Scheme: "http", Host: s.app.Addr().String()}
	linked := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			p.SetXForwarded()
			p.SetURL(app)
		},
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	realtime := "connect-src 'self' " + s.Realtime + " " + strings.Replace(s.Realtime, "http", "ws", 1)
	mux := http.NewServeMux()
	mux.Handle("/api/", linked)
	mux.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		policy := w.Header().Get("Content-Security-Policy")
		w.Header().Set("Content-Security-Policy", strings.Replace(policy, "connect-src 'self'", realtime, 1))
		pages.ServeHTTP(w, r)
	}))
	serve(ctx, g, s.front, httpx.SecurityHeaders(httpx.Proxies{}, mux))
	return nil
}

// serve serves l until ctx ends.
func serve(ctx context.Context, g *errgroup.Group, l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	g.Go(func() error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve says so
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve http: %w", err)
		}
		return nil
	})
}
