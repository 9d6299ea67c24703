// Package service is the realtime service as other people's applications use it: a hub whose
// upstream is webhooks, its data plane, and its keys. Keys and upstreams follow the configuration
// while it runs; a change that can't be used is logged, and what was in force stays.
//
// It shares no key and no connection with the hub that signaling uses, so who holds an access key
// can't reach our own sessions.
package service

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/config"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/echo"
	"causeway/internal/realtime/hub"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"
	"causeway/internal/signaling"
	"causeway/internal/token"
)

// Service is one realtime service. New opens no socket; Run holds connections.
type Service struct {
	cfg     config.Config
	with    Config
	log     *slog.Logger
	keys    atomic.Pointer[[]secret.Value]
	printed bool // the key is one that we made, and may be printed
	hub     *hub.Hub
	rest    *rest.Handler
	webhook *rest.Webhook
}

// accessKeyFile is the key's that is made where none is configured.
const accessKeyFile = "access.key"

// reloadEvery is how often configuration and key files are looked at.
const reloadEvery = 2 * time.Second

// Config is what New needs besides the configuration.
type Config struct {
	// Reload reads the configuration again; nil if it can't change.
	Reload func() (config.Config, error)
	// KeyDir is where the access key is kept if none is configured.
	KeyDir string
	// Alone says that no hub of our own is beside it, whose name others can't have.
	Alone bool
	// Echo adds the hub "echo", in which everybody reaches everybody (package echo).
	Echo       bool
	ClientAddr func(*http.Request) netip.Addr
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// New wires the service.
func New(ctx context.Context, cfg config.Config, c Config) (*Service, error) {
	s := &Service{cfg: cfg, with: c, log: c.Logger, printed: len(cfg.AccessKey) == 0}
	keys, err := s.readKeys(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s.keys.Store(&keys)
	policy := rest.ConnectedIgnore
	if cfg.OnConnected == "close" {
		policy = rest.ConnectedClose
	}
	s.webhook, err = rest.NewWebhook(rest.WebhookConfig{
		Keys:               s.accessKeys,
		OnConnectedFailure: policy,
		Close:              s.closeConnection,
		Timeout:            cfg.Timeout,
		Concurrency:        cfg.Concurrency,
		Retries:            cfg.Retries,
		Logger:             s.log,
		Registerer:         c.Registerer,
	})
	if err != nil {
		return nil, err
	}
	if err := s.webhook.Reload(ctx, templates(cfg)); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if s.hub, err = s.newHub(); err != nil {
		return nil, err
	}
	s.rest, err = rest.NewHandler(rest.HandlerConfig{
		Service:    s.named,
		Keys:       s.accessKeys,
		Hosts:      cfg.AccessHost,
		MaxBody:    int64(cfg.MaxMessage),
		Logger:     s.log,
		Registerer: c.Registerer,
	})
	return s, err
}

// newHub makes the hub behind which the webhooks are.
func (s *Service) newHub() (*hub.Hub, error) {
	handlers := map[string]realtime.Handler{}
	e := &echo.Handler{}
	if s.with.Echo {
		handlers[echo.Hub] = e
	}
	h, err := hub.New(hub.Config{
		Handlers:     handlers,
		Fallback:     s.handler,
		Keys:         s.accessKeys,
		Hosts:        s.cfg.AccessHost,
		Origins:      s.cfg.AllowedOrigin,
		ClientAddr:   s.with.ClientAddr,
		CloseForGood: s.cfg.CloseForGood,
		Limits: hub.Limits{
			Message: s.cfg.MaxMessage, Connections: s.cfg.MaxConns, PerAddress: s.cfg.MaxPerAddr,
			Groups: s.cfg.MaxGroups, Rate: s.cfg.MaxRate, OutboxBytes: s.cfg.MaxQueue,
		},
		Timing:     hub.Timing{Drain: s.cfg.DrainTimeout},
		Logger:     s.log,
		Registerer: s.with.Registerer,
	})
	if err != nil {
		return nil, err
	}
	e.Service = h.Service(echo.Hub)
	return h, nil
}

// readKeys resolves the configured keys, or returns the one that is kept in the
// data directory.
func (s *Service) readKeys(ctx context.Context, cfg config.Config) ([]secret.Value, error) {
	if len(cfg.AccessKey) == 0 {
		key, err := token.LoadKey(filepath.Join(s.with.KeyDir, accessKeyFile))
		if err != nil {
			return nil, err
		}
		return []secret.Value{secret.New(base64.StdEncoding.EncodeToString(key))}, nil
	}
	keys := make([]secret.Value, len(cfg.AccessKey))
	for i, text := range cfg.AccessKey {
		ref, err := secret.ParseRef(text)
		if err != nil {
			return nil, fmt.Errorf("access_key: %w", err)
		}
		if keys[i], err = secret.Resolve(ctx, ref); err != nil {
			return nil, fmt.Errorf("access_key: %w", err)
		}
	}
	return keys, nil
}

func templates(cfg config.Config) []rest.Template {
	t := make([]rest.Template, len(cfg.Upstream))
	for i, u := range cfg.Upstream {
		t[i] = rest.Template{URL: u.URL, Hub: u.Hub, Category: u.Category, Event: u.Event}
	}
	return t
}

func (s *Service) accessKeys() []secret.Value { return *s.keys.Load() }

// handler is the upstream of every hub but our own.
func (s *Service) handler(name string) realtime.Handler {
	if name == signaling.Hub && !s.with.Alone {
		return nil
	}
	return s.webhook
}

// named is the data plane's way to a hub.
func (s *Service) named(name string) realtime.Service {
	if name == signaling.Hub && !s.with.Alone {
		return nil
	}
	return s.hub.Service(name)
}

// closeConnection closes a connection that an upstream did not accept.
func (s *Service) closeConnection(ctx context.Context, hubName, id, reason string, allowReconnect bool) error {
	service := s.hub.Service(hubName)
	end := service.CloseConnection
	if refuser, ok := service.(realtime.Refuser); ok && !allowReconnect {
		end = refuser.RefuseConnection
	}
	if err := end(ctx, id, reason); !errors.Is(err, realtime.ErrNoConnection) {
		return err
	}
	return nil
}

// ConnectionString is what applications are configured with; false if the key is
// not ours to print.
func (s *Service) ConnectionString(origin string) (string, bool) {
	if !s.printed {
		return "", false
	}
	return accesskey.ConnectionString{Endpoint: origin, Key: s.accessKeys()[0], Version: "1.0"}.Text(), true
}

// Run holds connections, and follows the configuration, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with watching, for which Run waits
		defer close(done)
		s.watch(watching)
	}()
	err := s.hub.Run(ctx)
	stop()
	<-done
	s.webhook.Close()
	return err
}

// watch applies changes of keys and upstreams. A change that can't be used is
// logged once, and what was in force stays.
func (s *Service) watch(ctx context.Context) {
	t := time.NewTicker(reloadEvery)
	defer t.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		text := ""
		if err := s.update(ctx); err != nil && ctx.Err() == nil {
			if text = err.Error(); text != last {
				s.log.Error("configuration not reloaded", "err", err)
			}
		}
		last = text
	}
}

// update looks at the configuration and applies what has changed.
func (s *Service) update(ctx context.Context) error {
	cfg := s.cfg
	if s.with.Reload != nil {
		var err error
		if cfg, err = s.with.Reload(); err != nil {
			return err
		}
	}
	keys, err := s.readKeys(ctx, cfg)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(keys, s.accessKeys(), secret.Value.Equal) {
		s.keys.Store(&keys)
		s.log.Info("access keys reloaded", "count", len(keys))
	}
	// Always, as secrets in the URLs may have changed where the templates have not.
	if err := s.webhook.Reload(ctx, templates(cfg)); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	if !slices.Equal(cfg.Upstream, s.cfg.Upstream) {
		s.cfg.Upstream = cfg.Upstream
		s.log.Info("upstreams reloaded", "count", len(cfg.Upstream))
	}
	return nil
}

// Routes adds the data plane to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	for _, pattern := range []string{"/api/v1/", "/api/hubs/", "/api/health", "/api/auth/"} {
		mux.Handle(pattern, s.rest)
	}
}

// Tidy serves clients whose endpoint ends with a slash: they ask for //client/, which
// http.ServeMux would redirect, and they do not follow.
func Tidy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := clientPath(r.URL.Path); ok && path != r.URL.Path {
			u := *r.URL
			u.Path, u.RawPath = path, ""
			clean := *r
			clean.URL = &u
			r = &clean
		}
		next.ServeHTTP(w, r)
	})
}

// clientPath is the path of a client's request without superfluous slashes; not ok
// if it is something else's.
func clientPath(path string) (string, bool) {
	if !strings.HasPrefix(path, "/client") && !strings.HasPrefix(path, "//") {
		return "", false // most requests
	}
	segments := strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
	if len(segments) == 0 || segments[0] != "client" {
		return "", false
	}
	clean := "/" + strings.Join(segments, "/")
	if strings.HasSuffix(path, "/") {
		clean += "/"
	}
	return clean, true
}

// Hub is what holds the connections.
func (s *Service) Hub() *hub.Hub { return s.hub }

// Clients chooses the hub that a client's request is for: ours for signaling, the
// service's for any other name.
func Clients(ours, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			if strings.EqualFold(name, "hub") && len(values) > 0 && strings.EqualFold(values[0], signaling.Hub) {
				ours.ServeHTTP(w, r)
				return
			}
		}
		others.ServeHTTP(w, r)
	})
}
