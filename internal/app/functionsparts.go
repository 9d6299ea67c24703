package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"causeway/internal/config"
	"causeway/internal/demo"
	"causeway/internal/grant"
	"causeway/internal/grant/shared"
	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/azure"
	"causeway/internal/secret"
	"causeway/internal/signaling"
	"causeway/internal/token"
)

// Paths of the functions, as deploy/functions has them.
const (
	upstreamPath = "/api/signalr"
	tickPath     = "/tick"
)

// parts is what depends on secrets.
type parts struct {
	mux       *http.ServeMux
	client    *azure.Client // to the hub of signaling
	chat      *azure.Client // to that of the example chat
	signaling *signaling.Signaling
	demo      *demo.Demo // nil: not offered
	keeper    *shared.Keeper
	admission *admission
}

// build makes parts of the secrets that there are, and puts them to use.
func (f *Functions) build(ctx context.Context) error {
	get := getSecret(f.secrets.Get)
	conn, err := f.connection(ctx, get)
	if err != nil {
		return err
	}
	p := &parts{mux: http.NewServeMux()}
	if err := f.newClients(p, conn); err != nil {
		return err
	}
	bought, err := openProviders(ctx, f.cfg, get)
	if err != nil {
		return err
	}
	key, err := signingKey(ctx, f.cfg, get)
	if err != nil {
		return err
	}
	own, nodes, err := openNodes(f.cfg, key)
	if err != nil {
		return err
	}
	issuer, err := newChain(own, bought, f.relays)
	if err != nil {
		return err
	}
	p.keeper, err = shared.New(shared.Config{
		Relay: f.relays, Declare: f.relays.Declare, Store: f.store, Directory: chatDirectory{directory{p.client}, p.chat},
		Grace: f.cfg.RelayGrace, Life: f.credentialLife(),
		Logger: f.log.With("part", "grants"),
	})
	if err != nil {
		return err
	}
	if p.admission, err = f.newAdmission(key, f.parts.Load()); err != nil {
		return err
	}
	if p.signaling, err = f.newSignaling(key, p); err != nil {
		return err
	}
	if p.demo, err = f.newDemo(p); err != nil {
		return err
	}
	if err := f.routes(p, conn); err != nil {
		return err
	}
	if err := p.admission.register(f.parts.Load(), f.ops.Registry); err != nil {
		return err
	}
	f.relays.nodes.Store(&nodes)
	f.relays.issuer.Store(issuer)
	f.parts.Store(p)
	return nil
}

// newClients makes those of the SignalR service, one a hub.
func (f *Functions) newClients(p *parts, conn accesskey.ConnectionString) (err error) {
	transport := f.traceCalls("signalr", azure.NewTransport())
	for hub, client := range map[string]**azure.Client{signaling.Hub: &p.client, demo.Hub: &p.chat} {
		*client, err = azure.NewClient(azure.ClientConfig{
			Connection: func() accesskey.ConnectionString { return conn },
			Token:      f.tokens.Token,
			Hub:        hub,
			Transport:  transport,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// connection reads the connection string of the SignalR service.
func (f *Functions) connection(ctx context.Context, get getSecret) (accesskey.ConnectionString, error) {
	v, err := get.text(ctx, "signalr", f.cfg.SignalR)
	// The way in which Functions' own bindings are told of an identity.
	if endpoint := os.Getenv("AzureSignalRConnectionString__serviceUri"); err != nil && endpoint != "" {
		v, err = secret.New("Endpoint="+endpoint+";AuthType=azure.msi;"), nil
	}
	if err != nil {
		return accesskey.ConnectionString{}, err
	}
	conn, err := accesskey.ParseConnectionString(v.Reveal())
	if err != nil {
		return conn, fmt.Errorf("signalr: %w", err)
	}
	if conn.Key.IsZero() && f.verifier == nil {
		return conn, errors.New("upstream_tenant: it is needed where the connection string has no AccessKey, or anybody could send events")
	}
	return conn, nil
}

func (f *Functions) newSignaling(key []byte, p *parts) (*signaling.Signaling, error) {
	signer, err := token.New(key)
	if err != nil {
		return nil, err
	}
	for _, u := range f.cfg.STUN {
		if err := ice.CheckSTUN(u); err != nil {
			return nil, fmt.Errorf("stun_server: %w", err)
		}
	}
	stun := stunOnly(f.cfg)
	return signaling.New(signaling.Config{
		Realtime:   p.client,
		ICE:        func() []ice.Server { return stun },
		Relays:     p.keeper,
		Guard:      p.admission.Guard,
		ClientAddr: f.clientAddr,
		Signer:     signer,
		Regions:    regionsOf(f.cfg),
		Lifetime:   f.cfg.Lifetime,
		Seats:      f.cfg.Seats,
		Members:    f.cfg.Session.Members,
		LinkBase:   f.origin,
		Origin:     f.origin,
		Stats:      f.stats,
		Logger:     f.log.With("part", "signaling"),
	})
}

// defaultSTUN is what the serverless shape offers where nothing is configured, as it has no STUN server of
// its own.
const defaultSTUN = "stun:stun.l.google.com:19302"

func stunOnly(cfg config.Config) []ice.Server {
	urls := cfg.STUN
	if len(urls) == 0 {
		urls = []string{defaultSTUN}
	}
	return []ice.Server{{URLs: urls}}
}

// routes adds the functions.
func (f *Functions) routes(p *parts, conn accesskey.ConnectionString) error {
	cfg := azure.UpstreamConfig{
		Handler: func(hub string) realtime.Handler {
			switch {
			case hub == signaling.Hub:
				return p.signaling
			case hub == demo.Hub && p.demo != nil:
				return p.demo
			}
			return nil
		},
		Logger:     f.log.With("part", "upstream"),
		Registerer: f.ops.Registry,
	}
	if !conn.Key.IsZero() {
		keys := []secret.Value{conn.Key}
		cfg.Keys = func() []secret.Value { return keys }
	}
	if f.verifier != nil {
		cfg.Token = f.verifier.Verify
	}
	upstream, err := azure.NewUpstream(cfg)
	if err != nil {
		return err
	}
	api := http.NewServeMux()
	p.signaling.Routes(api)
	if err := f.stats.routes(api, p.signaling.Holder); err != nil {
		return err
	}
	open := p.demoOr(httpx.CORS(append(apiOrigins(f.cfg), f.cfg.AllowedOrigin...), api))
	p.mux.Handle("/api/", unblocked(func() *guard.Guard { return p.admission.Guard }, f.clientAddr, open))
	// What the SignalR service, nodes and the host call is not asked where it comes from.
	p.mux.Handle(upstreamPath, upstream)
	f.relays.ear.Routes(p.mux)
	p.mux.Handle("POST "+tickPath, httpx.Handler(f.log, f.tick))
	// The host asks for it until something answers.
	p.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return nil
}

// directory is what the SignalR service knows about members, who are its users.
type directory struct{ client *azure.Client }

// removed is the group of users that were removed; the service keeps it.
const removed = "removed"

// Present implements shared.Directory.
func (d directory) Present(ctx context.Context, session, peer string) (bool, error) {
	return d.client.Exists(ctx, realtime.User(signaling.User(session, peer)))
}

// Shut implements shared.Directory.
func (d directory) Shut(ctx context.Context, session, peer string, life time.Duration) error {
	user := signaling.User(session, peer)
	return errors.Join(
		d.client.AddUserToGroup(ctx, removed, user, life),
		d.client.CloseConnections(ctx, realtime.User(user), "removed from the session"),
	)
}

// Others implements shared.Directory.
func (d directory) Others(ctx context.Context, m grant.Member) (int, error) {
	who := realtime.Group(signaling.Group(m.Session, token.Role(m.Role)))
	return others(ctx, d.client, who, signaling.User(m.Session, m.Peer), func(c realtime.ConnectionInfo) string { return c.UserID })
}

// others counts the names of connections that are not own, up to some pages of them.
func others(ctx context.Context, in *azure.Client, who realtime.Recipient, own string, name func(realtime.ConnectionInfo) string) (int, error) {
	different := map[string]bool{}
	for after := ""; ; {
		page, next, err := in.Connections(ctx, who, after, pageOfMembers)
		if err != nil {
			return 0, err
		}
		for _, c := range page {
			different[name(c)] = true
		}
		if after = next; after == "" || len(different) > pageOfMembers {
			delete(different, own)
			return len(different), nil
		}
	}
}

// pageOfMembers is more than rooms have.
const pageOfMembers = 200

// IsShut implements shared.Directory.
func (d directory) IsShut(ctx context.Context, session, peer string) (bool, error) {
	return d.client.UserInGroup(ctx, removed, signaling.User(session, peer))
}
