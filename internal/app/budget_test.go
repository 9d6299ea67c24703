package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/ice"
)

func TestOpenBudget(t *testing.T) {
	t.Setenv("TEST_SECRET", "north")
	cfg, err := config.Load(strings.NewReader(`
budget_session: 1GB
budget_day_money: 2
relay_price: 0.05
provider:
- {name: ours, type: coturn, price: 0, secret: "env:TEST_SECRET", url: ["turn:turn.example.org"]}
- {name: metered, type: metered, price: 0.4, secret: "env:TEST_SECRET", app: example}
- {name: cloudflare, type: cloudflare, price: 0.05, secret: "env:TEST_SECRET", key_id: abc}
- {name: counted, type: cloudflare, price: 0.05, secret: "env:TEST_SECRET", key_id: abc, account: def, analytics: "env:TEST_SECRET"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	dir := filepath.Join(cfg.DataDir, budgetDir)
	list, err := openProviders(t.Context(), cfg, resolver(cfg).Resolve)
	if err != nil || len(list) != 4 || list[0].Name != "ours" {
		t.Fatal(list, err)
	}
	if _, err := ice.NewChain(list, nil); err != nil {
		t.Error(err)
	}
	if got := usageOf(list); len(got) != 2 || got["metered"] == nil || got["counted"] == nil {
		t.Errorf("usage of %v", got)
	}
	l, err := openBudget(cfg, dir, usageOf(list), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, price := range []string{"", "ours", "metered", "cloudflare"} {
		if err := l.Open("g"+price, budget.Chain{Session: "s", Member: "m", Price: price}, 0); err != nil {
			t.Error(err)
		}
	}
	if s, ok := l.Session("s"); !ok || s.Cap != 1_000_000_000 {
		t.Errorf("%+v", s)
	}
	if day, _ := l.Status(); day.MoneyCap != 2_000_000 || day.Cap != 100<<30 {
		t.Errorf("%+v", day)
	}
	if _, err := openBudget(cfg, dir, nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("two in one data directory: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	cfg.Provider[0].Secret = "env:TEST_SECRET_THAT_IS_NOT_SET"
	if _, err := openProviders(t.Context(), cfg, resolver(cfg).Resolve); err == nil || !strings.Contains(err.Error(), "provider ours") {
		t.Errorf("%v", err)
	}
}

// counting is an Issuer that has relayed something for each handle.
type counting struct{ ice.Issuer }

func (counting) Capabilities() ice.Capabilities { return ice.Capabilities{Usage: true} }

func (counting) Usage(_ context.Context, handles []string) (map[string]int64, error) {
	total := map[string]int64{}
	for i, h := range handles {
		total[h] = int64(i + 1)
	}
	return total, nil
}

func TestUsageOf(t *testing.T) {
	ask := usageOf([]ice.Named{{Name: "p", Issuer: counting{}}})["p"]
	got, err := ask(t.Context(), []string{"p:a", "p:b:c"})
	if err != nil || !reflect.DeepEqual(got, map[string]int64{"p:a": 1, "p:b:c": 2}) {
		t.Errorf("%v, %v", got, err)
	}
}
