package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/internal/budget"
	"causeway/internal/budget/purse"
	"causeway/internal/config"
	"causeway/internal/entra"
	"causeway/internal/grant/shared"
	"causeway/internal/httpx"
	"causeway/internal/liblog"
	"causeway/internal/ops"
	"causeway/internal/realtime/azure"
	"causeway/internal/secret"
	"causeway/internal/sqldb"
	"causeway/internal/telemetry"
)

// Functions is signaling as a custom handler of Azure Functions: the Functions host starts it, and
// passes HTTP requests on to it, over loopback. Connections are Azure SignalR Service's: what
// happens to them comes in by its upstream requests, and what goes to them goes out by its data
// plane. It is the code of App with other parts around it, and keeps nothing that another instance,
// or the next, would miss but what it has yet to settle.
//
// Everything that depends on a secret is in parts, which are made anew when one has changed.
type Functions struct {
	cfg      config.Config
	log      *slog.Logger
	ops      *ops.Ops
	secrets  *secret.Cache
	tokens   *entra.Tokens   // of our identity, for the SignalR service
	verifier *entra.Verifier // of its identity; nil: it has none
	store    shared.Store
	ledger   accounts
	own      *budget.Ledger // what ledger is without a database
	purse    *purse.Shared  // nil: without a database
	told     told
	fence    chan chan struct{} // closes what it is given when watchBudget has acted on all events
	relays   *boughtRelays
	parts    atomic.Pointer[parts]
	listener net.Listener
	http     *http.Server
	requests requests
	insights *telemetry.Client // nil: none
	stats    *statistics
	database *sqldb.DB // of state; nil: that of stats, or none
}

// portVariable is where the Functions host says which port it will ask at.
const portVariable = "FUNCTIONS_CUSTOMHANDLER_PORT"

// NewFunctions opens the socket, and reads the secrets. Close a Functions that isn't run.
func NewFunctions(ctx context.Context, cfg config.Config, logger *slog.Logger) (*Functions, error) {
	f := &Functions{cfg: cfg, log: logger, ops: ops.New(), fence: make(chan chan struct{})}
	if err := f.open(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Functions) open(ctx context.Context) (err error) {
	if f.cfg.SigningKey == "" {
		return errors.New("signing_key: it is needed here, as instances come and go and share the key")
	}
	port := os.Getenv(portVariable)
	if port == "" {
		return fmt.Errorf("%s is not set: this command is for the Azure Functions host to start; on your machine use: causeway emulate", portVariable)
	}
	if f.listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port)); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	identity := newIdentity(f.cfg)
	f.secrets = secret.NewCache(secret.Resolver{KeyVault: identity})
	if err := f.openInsights(ctx, identity); err != nil {
		return err
	}
	f.tokens = entra.NewTokens(identity.token(azure.Scope))
	if f.cfg.UpstreamTenant != "" {
		f.verifier, err = entra.NewVerifier(entra.VerifierConfig{
			Authority: f.cfg.EntraAuthority, Issuer: f.cfg.EntraIssuer, Tenant: f.cfg.UpstreamTenant,
			Audiences: f.cfg.UpstreamAudience, Identities: f.cfg.UpstreamIdentity,
		})
		if err != nil {
			return err
		}
	}
	f.relays = &boughtRelays{region: f.cfg.DefaultRegion, log: f.log.With("part", "relay")}
	if err := f.openEar(); err != nil {
		return err
	}
	if err := f.openState(ctx); err != nil {
		return err
	}
	if f.cfg.Demo {
		f.log.Warn("the example chat is on: whoever reaches this app may take part")
	}
	if err := f.build(ctx); err != nil {
		return err
	}
	f.http = &http.Server{
		Handler:           f.requests.count(f.traced(http.HandlerFunc(f.serve))),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes * 2, // upstream requests have the client's claims in theirs
		ErrorLog:          log.New(liblog.HTTP{Log: f.log.With("part", "http")}, "", 0),
	}
	return nil
}

// serve passes a request to the parts of the moment.
func (f *Functions) serve(w http.ResponseWriter, r *http.Request) { f.parts.Load().mux.ServeHTTP(w, r) }

// Addr is where the handler listens.
func (f *Functions) Addr() net.Addr { return f.listener.Addr() }

// Run serves until ctx ends, answers what has come in, and returns.
func (f *Functions) Run(ctx context.Context) error {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := f.http.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve http: %w", err)
		}
		return nil
	})
	if f.own != nil {
		g.Go(func() error { return f.own.Run(late) })
	}
	if f.purse != nil {
		g.Go(func() error { return f.purse.Run(late) })
	}
	g.Go(func() error { return f.stats.Run(late) })
	if f.insights != nil {
		g.Go(func() error { return f.insights.Run(late) })
	}
	g.Go(func() error { return f.watchBudget(late) })
	g.Go(func() error { return f.watchSecrets(gctx) })
	g.Go(func() error {
		defer cancel()
		<-gctx.Done()
		dctx, done := context.WithTimeout(late, f.cfg.DrainTimeout)
		defer done()
		f.requests.wait(dctx)
		err := f.http.Shutdown(dctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = f.http.Close()
		}
		return err
	})
	f.log.Info("listening", "version", ops.Version())
	err := g.Wait()
	f.parts.Load().client.Close()
	return errors.Join(err, f.closeState(ctx))
}

// Close releases the socket of a Functions that isn't run.
func (f *Functions) Close() error {
	var errs []error
	if f.listener != nil {
		errs = append(errs, f.listener.Close())
	}
	return errors.Join(append(errs, f.closeState(context.Background()))...)
}

// watchSecrets reads secrets again, and makes the parts anew when one has changed. What can't be
// read, or can't be used, leaves what was in force.
func (f *Functions) watchSecrets(ctx context.Context) error {
	tick := time.NewTicker(f.cfg.SecretRefresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		f.refresh(ctx)
	}
}

func (f *Functions) refresh(ctx context.Context) {
	changed, err := f.secrets.Refresh(ctx)
	if err != nil && ctx.Err() == nil {
		f.log.Warn("secrets not refreshed", "err", err)
	}
	if !changed {
		return
	}
	old := f.parts.Load()
	if err := f.build(ctx); err != nil {
		f.log.Error("changed secrets can't be used", "err", err)
		return
	}
	f.log.Info("secrets have changed")
	old.client.Close()
}

// tick is the function that a timer calls: it comes and goes in the host's envelope.
func (f *Functions) tick(w http.ResponseWriter, r *http.Request) error {
	answer := struct {
		Outputs     map[string]any
		Logs        []string
		ReturnValue any
	}{Outputs: map[string]any{}, Logs: []string{}}
	if err := f.tickBudget(r.Context()); err != nil {
		f.log.WarnContext(r.Context(), "what was relayed is not all known", "err", err)
		answer.Logs = append(answer.Logs, "what was relayed is not all known")
	}
	if err := f.parts.Load().keeper.Tick(r.Context()); err != nil {
		f.log.WarnContext(r.Context(), "some relay grants were not looked at", "err", err)
		answer.Logs = append(answer.Logs, "some relay grants were not looked at")
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

// origin is that of the page which asks: the configured one, or what the platform's front end says.
func (f *Functions) origin(r *http.Request) string {
	if f.cfg.PublicURL != "" {
		return strings.TrimRight(f.cfg.PublicURL, "/")
	}
	return httpx.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.Origin(r)
}
