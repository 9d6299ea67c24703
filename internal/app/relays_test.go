package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay"
	"causeway/internal/secret"
)

// overflow is a relay that is bought when ours is off, and records what is made and revoked.
type overflow struct {
	ice.Issuer
	made    int
	revoked []string
}

func (o *overflow) Mint(ctx context.Context, r ice.Request) (ice.Minted, error) {
	o.made++
	return o.Issuer.Mint(ctx, r)
}

func (o *overflow) Revoke(_ context.Context, handle string) error {
	o.revoked = append(o.revoked, handle)
	return errors.ErrUnsupported
}

func newOverflow(t *testing.T) *overflow {
	t.Helper()
	c, err := ice.NewCoturn([]string{"turn:bought.example"}, secret.New("s"))
	if err != nil {
		t.Fatal(err)
	}
	return &overflow{Issuer: c}
}

// newTestRelays returns relays over a ledger whose sessions have 1 MB.
func newTestRelays(t *testing.T, own bool, bought ...ice.Named) *relays {
	t.Helper()
	prices := map[string]int64{}
	for _, n := range bought {
		prices[n.Name] = 50_000
	}
	ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100, Prices: prices})
	if err != nil {
		t.Fatal(err)
	}
	var server *relay.Server
	urls := func() []string { return nil }
	if own {
		server, err = relay.New(relay.Config{Listen: "127.0.0.1:0", GrantKey: make([]byte, 32), Ledger: leases{ledger}, Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		urls = server.URLs
	}
	r, err := newRelays(relaysConfig{own: server, urls: urls, bought: bought, ledger: ledger, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// spend spends bytes of the session's budget, by a grant of its own.
func spend(t *testing.T, l *budget.Ledger, bytes int64) {
	t.Helper()
	if err := l.Open("x", budget.Chain{Session: "s", Member: "m"}, 0); err != nil {
		t.Fatal(err)
	}
	for left := bytes; left > 0; {
		n, err := l.Lease(t.Context(), "x", left)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Settle(t.Context(), "x", n, 0, 0); err != nil {
			t.Fatal(err)
		}
		left -= n
	}
}

// mint mints for the members a and b, and returns what a has.
func mint(t *testing.T, r *relays) (grant.Credential, error) {
	t.Helper()
	now := time.Now()
	var pair [2]grant.Order
	for i, peer := range []string{"a", "b"} {
		pair[i] = grant.Order{Member: grant.Member{Session: "s", Peer: peer}, Until: now.Add(time.Minute), NotAfter: now.Add(time.Hour)}
	}
	made, err := r.Mint(t.Context(), pair)
	if a, b := made[0].Handle, made[1].Handle; err == nil && (a == b || a[:4] != b[:4]) {
		t.Errorf("minted %s and %s: want one relay", a, b)
	}
	return made[0], err
}

func TestOwnRelayIsMintedAndEnded(t *testing.T) {
	bought := newOverflow(t)
	r := newTestRelays(t, true, ice.Named{Name: "bought", Issuer: bought})
	c, err := mint(t, r)
	if err != nil || !strings.HasPrefix(c.Handle, "own:") {
		t.Fatalf("%+v, %v", c, err)
	}
	auth := []ice.Auth{{Ufrag: "u", Pwd: "p"}}
	if err := r.Renew(t.Context(), c.Handle, time.Now().Add(time.Minute), auth); err != nil {
		t.Error(err)
	}
	_, id := ice.Split(c.Handle)
	if !r.owns(config.OwnRelay, id) || r.owns("elsewhere", id) {
		t.Error("where it is, is not known")
	}
	if err := r.Revoke(t.Context(), c.Handle); err != nil {
		t.Error(err)
	}
	if err := r.Renew(t.Context(), c.Handle, time.Now().Add(time.Minute), nil); !errors.Is(err, grant.ErrGone) {
		t.Errorf("renewed after its end: %v", err)
	}
	r.closeAccounts(time.Now())
	if len(r.closing) != 1 || len(r.live) != 1 { // the other member's lives
		t.Error("closed before it could settle")
	}
	r.closeAccounts(time.Now().Add(settleIn))
	if len(r.closing) != 0 || len(r.live) != 1 {
		t.Error("the account stays")
	}
	if len(bought.revoked) > 0 {
		t.Error("the bought relay was asked")
	}
}

func TestASpentBudgetIsNotBoughtElsewhere(t *testing.T) {
	r := newTestRelays(t, true, ice.Named{Name: "bought", Issuer: newOverflow(t)})
	spend(t, r.ledger, 1_000_000)
	if c, err := mint(t, r); !errors.Is(err, grant.ErrSpent) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBoughtRelays(t *testing.T) {
	bought := newOverflow(t)
	r := newTestRelays(t, false, ice.Named{Name: "bought", Issuer: bought})
	c, err := mint(t, r)
	if err != nil || !strings.HasPrefix(c.Handle, "bought:") || c.Servers[0].Username == "" {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := r.Renew(t.Context(), c.Handle, time.Now(), nil); err != nil {
		t.Error(err)
	}
	for _, e := range []budget.Event{
		{Kind: budget.Cut, Level: budget.Session, Session: "other"},
		{Kind: budget.Cut, Level: budget.Member, Session: "other", Member: "a"},
		{Kind: budget.Cut, Level: budget.Member, Session: "s", Member: "c"},
		{Kind: budget.Cut, Level: budget.Credential, Session: "s", Member: "a", Grant: "another"},
	} {
		if r.cut(t.Context(), e); len(bought.revoked) != 0 {
			t.Errorf("%+v revoked %v", e, bought.revoked)
		}
	}
	r.cut(t.Context(), budget.Event{Kind: budget.Cut, Level: budget.Member, Session: "s", Member: "a"})
	if _, own := ice.Split(c.Handle); len(bought.revoked) != 1 || bought.revoked[0] != own {
		t.Errorf("a member's account is spent: revoked %v", bought.revoked)
	}
	if err := r.Renew(t.Context(), c.Handle, time.Now(), nil); !errors.Is(err, grant.ErrGone) {
		t.Errorf("renewed after that: %v", err)
	}
	r.cut(t.Context(), budget.Event{Kind: budget.Cut, Level: budget.Session, Session: "s"})
	r.cut(t.Context(), budget.Event{Kind: budget.Cut, Level: budget.Day})
	if len(bought.revoked) != 2 {
		t.Errorf("revoked %v", bought.revoked)
	}
}

// What the ledger refuses is not made first: that costs calls to the provider.
func TestNothingIsMadeForASpentBudget(t *testing.T) {
	bought := newOverflow(t)
	r := newTestRelays(t, false, ice.Named{Name: "bought", Issuer: bought})
	spend(t, r.ledger, 1_000_000)
	if c, err := mint(t, r); !errors.Is(err, grant.ErrSpent) || bought.made > 0 {
		t.Errorf("%+v, %v; %d made", c, err, bought.made)
	}
	if day, _ := r.ledger.Status(); day.Leased != 0 {
		t.Errorf("%+v", day)
	}
}

func TestWithoutARelay(t *testing.T) {
	if _, err := mint(t, newTestRelays(t, false)); !errors.Is(err, grant.ErrNoRelay) {
		t.Errorf("%v", err)
	}
}

func TestRunTellsWhatTheLedgerSays(t *testing.T) {
	r := newTestRelays(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan budget.Event, 8)
	done := make(chan error)
	go func() { done <- r.run(ctx, func(_ context.Context, e budget.Event) { told <- e }) }()
	spend(t, r.ledger, 900_000)
	if e := <-told; e.Kind != budget.Warning {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
