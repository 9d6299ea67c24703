// Package app puts the parts of Causeway together: from a configuration to
// something that runs. It is the only package that knows all the others.
//
// New opens the sockets, so that a taken port is told at once and addresses are
// known before anything runs; Run serves until its context ends, then drains: the
// server stops being ready, clients of the realtime service are told to come back
// (to another server, or to this one's successor), running requests end, and the
// relay closes last.
package app

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"causeway/internal/app/certs"
	"causeway/internal/app/place"
	"causeway/internal/app/service"
	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/demo"
	"causeway/internal/front"
	"causeway/internal/garbage"
	"causeway/internal/grant"
	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/ice"
	"causeway/internal/liblog"
	"causeway/internal/ops"
	"causeway/internal/realtime"
	"causeway/internal/realtime/hub"
	"causeway/internal/relay"
	"causeway/internal/relay/demux"
	"causeway/internal/relay/policy"
	"causeway/internal/secret"
	"causeway/internal/signaling"
	"causeway/internal/token"
	"causeway/internal/web"
)

// App is one configured Causeway.
type App struct {
	cfg       config.Config
	log       *slog.Logger
	ops       *ops.Ops
	listeners []net.Listener
	place     place.Place
	relay     *relay.Server        // nil: switched off
	hub       *hub.Hub             // our own, for signaling; nil: not served
	signaling *signaling.Signaling // as are these
	demo      *demo.Demo           // nil: not offered
	grants    *grant.Keeper
	guard     *guard.Guard
	relays    *relays
	ledger    *budget.Ledger
	stats     *statistics
	service   *service.Service // for other applications; nil: not offered
	http      *http.Server
	requests  requests       // all but probes
	tls       *tls.Config    // nil: plain HTTP
	shared    []*demux.Demux // of listeners, with TLS and a relay
	fronts    []*front.Front // of listeners without TLS
}

// Options is what a command may ask of an App beyond its configuration.
type Options struct {
	// RealtimeOnly serves the realtime service for other applications and nothing
	// else: no pages, no signaling, no relay.
	RealtimeOnly bool
	// Echo adds the hub "echo", in which everybody reaches everybody (package echo).
	Echo bool
	// Reload reads the configuration again; nil if it can't change.
	Reload func() (config.Config, error)
}

// Limits of the HTTP server.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// New opens the sockets and wires the parts. ctx bounds the fetching of secrets
// and certificates; it must be the one that Run gets. Close an App that isn't run.
func New(ctx context.Context, cfg config.Config, o Options, logger *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, log: logger, ops: ops.New()}
	if err := a.open(ctx, o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(ctx context.Context, o Options) (err error) {
	cfg := a.cfg
	if a.listeners, err = place.Listen(ctx, cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	secure := cfg.Cert != "" || len(cfg.ACMEDomain) > 0
	if a.place, err = place.Of(cfg.Listen, a.listeners[0], secure, cfg.PublicURL); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	proxies := httpx.Proxies{Trusted: cfg.TrustedProxy}
	mux, probed := http.NewServeMux(), http.NewServeMux()
	a.ops.Routes(probed)
	if cfg.Realtime || o.RealtimeOnly {
		reg := prometheus.WrapRegistererWith(prometheus.Labels{"service": "realtime"}, a.ops.Registry)
		a.service, err = service.New(ctx, cfg, service.Config{
			Reload: o.Reload, KeyDir: filepath.Join(cfg.DataDir, keysDir), Alone: o.RealtimeOnly, Echo: o.Echo,
			ClientAddr: proxies.Client, Registerer: reg, Logger: a.log.With("part", "realtime"),
		})
		if err != nil {
			return err
		}
		a.service.Routes(mux)
	}
	if o.RealtimeOnly {
		if err := a.openGuard(nil); err != nil {
			return err
		}
		mux.Handle("/client", a.service.Hub().Handler())
		mux.Handle("/client/", a.service.Hub().Handler())
	} else if err := a.openOwn(ctx, mux, proxies); err != nil {
		return err
	}
	probed.Handle("/", a.requests.count(a.unblocked(proxies, a.demoOr(mux))))
	if a.tls, err = certs.TLS(ctx, cfg.TLS, cfg.DataDir, a.place.Port, a.log); err != nil {
		return err
	}
	a.share()
	a.http = &http.Server{
		Handler:           demux.Handler(httpx.SecurityHeaders(proxies, service.Tidy(probed), cfg.Places.Origins()...)),
		ConnContext:       demux.ConnContext,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(liblog.HTTP{Log: a.log.With("part", "http")}, "", 0),
	}
	a.openFronts()
	return nil
}

// keysDir is where keys are kept that nobody has configured.
const keysDir = "keys"

// signingKey returns the key that all tokens of this server derive from.
func signingKey(ctx context.Context, cfg config.Config, get getSecret) ([]byte, error) {
	if cfg.SigningKey == "" {
		return token.LoadKey(filepath.Join(cfg.DataDir, keysDir, "signing.key"))
	}
	v, err := get.text(ctx, "signing_key", cfg.SigningKey)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(v.Reveal()))
	if err != nil || len(key) != token.KeySize {
		return nil, fmt.Errorf("signing_key: %s does not hold %d bytes in base64", cfg.SigningKey, token.KeySize)
	}
	return key, nil
}

// openRelay opens the relay, unless it is switched off, the bought ones, and the ledger that
// all of them are counted in.
func (a *App) openRelay(ctx context.Context, key []byte) (err error) {
	for _, u := range a.cfg.STUN { // browsers refuse a whole configuration for one bad URL
		if err := ice.CheckSTUN(u); err != nil {
			return fmt.Errorf("stun_server: %w", err)
		}
	}
	bought, err := openProviders(ctx, a.cfg, resolver(a.cfg).Resolve)
	if err != nil {
		return err
	}
	logger := a.log.With("part", "relay")
	if a.ledger, err = openBudget(a.cfg, filepath.Join(a.cfg.DataDir, budgetDir), usageOf(bought), a.ops.Registry, logger); err != nil {
		return err
	}
	if a.cfg.TURNListen != config.TURNOff {
		if a.relay, err = a.newRelay(key, logger); err != nil {
			return fmt.Errorf("turn_listen: %w", err)
		}
	}
	a.relays, err = newRelays(relaysConfig{
		own: a.relay, urls: a.RelayURLs, bought: bought, nodes: a.cfg.Nodes, ledger: a.ledger, log: logger,
		fleet: fleetConfig{key: key, policy: a.cfg.PeerPolicy, grace: a.cfg.RelayGrace, registerer: a.ops.Registry, log: logger},
	})
	if err != nil {
		return err
	}
	a.grants, err = grant.New(grant.Config{
		Moved:      a.relays.moved,
		Relay:      a.relays,
		Declare:    a.relays.Declare,
		Grace:      a.cfg.RelayGrace,
		Life:       max(a.cfg.RelayGrace, min(a.cfg.Lifetime, maxCredential)),
		Logger:     a.log.With("part", "grants"),
		Registerer: a.ops.Registry,
	})
	return err
}

// maxCredential is how long a credential may be good at most, as bought relays have it.
const maxCredential = 24 * time.Hour

func (a *App) newRelay(key []byte, logger *slog.Logger) (*relay.Server, error) {
	grantKey, err := token.Derive(key, "turn")
	if err != nil {
		return nil, err
	}
	level, err := policy.ParseLevel(a.cfg.PeerPolicy)
	if err != nil {
		return nil, err
	}
	return relay.New(relay.Config{
		Listen:       a.cfg.TURNListen,
		PublicIP:     a.cfg.PublicIP,
		GrantKey:     grantKey,
		Policy:       policy.Policy{Level: level, Allow: a.cfg.PeerAllow, Deny: a.cfg.PeerDeny},
		StrictSource: a.cfg.SourcePin == "strict",
		Chunk:        chunkOf(a.cfg.SessionBudget),
		Ledger:       leases{a.ledger},
		MinPort:      a.cfg.RelayPorts.First,
		MaxPort:      a.cfg.RelayPorts.Last,
		Logger:       logger,
		Registerer:   a.ops.Registry,
	})
}

// chunkOf is how much a relay leases at a time, so small that in a session's budget what others have leased is not missed.
func chunkOf(session config.Size) int64 { return max(64<<10, min(4<<20, int64(session)/64)) }

// openOwn opens the relay and adds our own application to mux: signaling and pages.
func (a *App) openOwn(ctx context.Context, mux *http.ServeMux, proxies httpx.Proxies) error {
	key, err := signingKey(ctx, a.cfg, resolver(a.cfg).Resolve)
	if err != nil {
		return err
	}
	if err := a.openRelay(ctx, key); err != nil {
		return err
	}
	if err := a.openStats(ctx); err != nil {
		return err
	}
	if err := a.openGuard(key); err != nil {
		return err
	}
	var upstream, chat lateHandler // the hub and its handlers need each other
	if err := a.openHub(key, &upstream, &chat, proxies); err != nil {
		return err
	}
	if a.signaling, err = a.newSignaling(key, proxies); err != nil {
		return err
	}
	upstream.Handler = a.signaling
	if err := a.openDemo(&chat, proxies); err != nil {
		return err
	}
	pages, err := web.New()
	if err != nil {
		return err
	}
	api := http.NewServeMux()
	a.signaling.Routes(api)
	if err := a.stats.routes(api, a.signaling.Holder); err != nil {
		return err
	}
	mux.Handle("/api/", a.origins(proxies, api))
	a.relays.routes(mux)
	if err := a.openAdmin(ctx, mux); err != nil {
		return err
	}
	connect := a.hub.Handler()
	if a.service != nil {
		connect = service.Clients(connect, a.service.Hub().Handler())
	}
	mux.Handle("/client", connect)
	mux.Handle("/client/", connect)
	a.regionRoutes(mux)
	mux.Handle("/", pages)
	return nil
}

// openHub makes our own hub, for signaling and for the example chat.
func (a *App) openHub(key []byte, upstream, chat realtime.Handler, proxies httpx.Proxies) error {
	accessKey, err := token.Derive(key, "realtime")
	if err != nil {
		return err
	}
	keys := []secret.Value{secret.New(string(accessKey))}
	handlers := map[string]realtime.Handler{signaling.Hub: upstream}
	if a.cfg.Demo {
		handlers[demo.Hub] = chat
	}
	a.hub, err = hub.New(hub.Config{
		Keys:       func() []secret.Value { return keys },
		Handlers:   handlers,
		ClientAddr: proxies.Client,
		Admit:      a.admitConnect,
		Limits:     hub.Limits{Connections: a.cfg.MaxConns, PerAddress: a.cfg.MaxPerAddr},
		Timing:     hub.Timing{Drain: a.cfg.DrainTimeout},
		Logger:     a.log.With("part", "signaling"),
		Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"service": "signaling"}, a.ops.Registry),
	})
	return err
}

func (a *App) newSignaling(key []byte, proxies httpx.Proxies) (*signaling.Signaling, error) {
	signer, err := token.New(key)
	if err != nil {
		return nil, err
	}
	return signaling.New(signaling.Config{
		Realtime:   a.hub.Service(signaling.Hub),
		ICE:        a.stunServers,
		Relays:     a.grants,
		Guard:      a.guard,
		Regions:    regionsOf(a.cfg),
		ClientAddr: hintProxy(a.log, proxies),
		Signer:     signer,
		Lifetime:   a.cfg.Lifetime,
		Seats:      a.cfg.Seats,
		Members:    a.cfg.Session.Members,
		LinkBase:   func(r *http.Request) string { return a.place.LinkBase(proxies.Origin(r), place.LAN) },
		Origin:     proxies.Origin,
		Stats:      a.stats,
		Logger:     a.log.With("part", "signaling"),
	})
}

// lateHandler is a realtime.Handler that is filled in before anything runs.
type lateHandler struct{ realtime.Handler }

// Caps says what is relayed at most: for a session, a day and a month; empty if nothing is.
func (a *App) Caps() string {
	if a.relays == nil || a.relays.issuer == nil {
		return ""
	}
	b := a.cfg.Budget
	return fmt.Sprintf("%s a session, %s a day, %s a month", b.SessionBudget, b.DayBudget, b.MonthBudget)
}

// Run serves until ctx ends, drains, and returns when everything has ended.
func (a *App) Run(ctx context.Context) error {
	// What drains outlives ctx, one part after the other.
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	told, tell := context.WithCancel(late) // ends when realtime clients are to be told
	defer tell()
	var hubs sync.WaitGroup // done when they have been
	for run, ready := range a.hubs() {
		hubs.Add(1)
		g.Go(func() error {
			defer hubs.Done()
			return run(told)
		})
		select { // who connects meanwhile waits in the listener's queue
		case <-ready:
		case <-gctx.Done():
		}
	}
	for _, d := range a.shared {
		g.Go(func() error { return d.Run(late) })
	}
	for _, f := range a.fronts {
		g.Go(func() error { return f.Run(late) })
	}
	for i, l := range a.listeners {
		l = a.requestsOf(i, l)
		g.Go(func() error { return a.serve(l) })
	}
	a.runRelays(late, g)
	g.Go(func() error { return garbage.Keep(gctx) })
	g.Go(func() error {
		defer cancel()
		<-gctx.Done()
		a.log.Info("draining")
		a.ops.SetReady(false)
		a.drainRelay(late)
		tell()
		hubs.Wait() // till then probes find /readyz, and clients their Close message
		a.relays.close()
		return a.shutdown(late)
	})
	a.ops.SetReady(true)
	a.log.Info("listening", "version", ops.Version())
	err := g.Wait()
	if a.ledger != nil { // the relay has settled
		err = errors.Join(err, a.stats.close(ctx), a.ledger.Close())
	}
	a.log.Info("ended")
	return err
}

// hubs yields what holds realtime connections: how it runs, and what is closed when it
// takes connections.
func (a *App) hubs() iter.Seq2[func(context.Context) error, <-chan struct{}] {
	return func(yield func(func(context.Context) error, <-chan struct{}) bool) {
		if a.hub != nil && !yield(a.hub.Run, a.hub.Ready()) {
			return
		}
		if a.service != nil {
			yield(a.service.Run, a.service.Hub().Ready())
		}
	}
}

func (a *App) serve(l net.Listener) error {
	if err := a.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// shutdown waits for requests that are being answered, as long as DrainTimeout allows,
// and ends the HTTP server.
func (a *App) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.DrainTimeout)
	defer cancel()
	a.requests.wait(ctx)
	err := a.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // requests that would not end
		err = a.http.Close()
	}
	return err
}

// Close releases the sockets of an App that isn't run.
func (a *App) Close() error {
	var errs []error
	for _, l := range a.listeners {
		errs = append(errs, l.Close())
	}
	if a.relay != nil {
		errs = append(errs, a.relay.Close())
	}
	if a.stats != nil {
		errs = append(errs, a.stats.close(context.Background()))
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.Close())
	}
	return errors.Join(errs...)
}
