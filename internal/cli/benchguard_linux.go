//go:build linux

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"causeway/internal/bench/flood"
	"causeway/internal/bench/measure"
	"causeway/internal/ops"
)

// guardPhase is what one phase measured.
type guardPhase struct {
	Phase string `json:"phase"`
	flood.Result
	CPU    float64 `json:"server_cpu_s"`
	PerAsk float64 `json:"server_cpu_us_per_attack_request,omitempty"` // beyond what the honest users cost without an attack
	Spent  float64 `json:"money_spent"`
}

type guardResult struct {
	Benchmark string          `json:"benchmark"`
	Version   string          `json:"version"`
	Machine   measure.Machine `json:"machine"`
	Cap       float64         `json:"money_cap"`
	Phases    []guardPhase    `json:"phases"`
	Bars      []measure.Bar   `json:"bars"`
}

// guardCap is the cap of the day, and guardPrice that of a million executions: the attack could
// spend ten times the cap in a phase.
const (
	guardCap   = "0.02"
	guardPrice = "10"
)

func (b *benchGuard) Run(ctx context.Context, s streams) error {
	if b.Duration < time.Second || b.Honest <= 0 || b.Attack <= 0 || b.Networks < 1 || b.Networks > 60_000 || b.Solvers < 1 {
		return usageError{errors.New("want --duration from 1s, positive rates, --networks from 1 to 60000 and at least one of --solvers")}
	}
	limit, err := strconv.ParseFloat(guardCap, 64)
	if err != nil {
		return err
	}
	r := guardResult{Benchmark: "guard", Version: ops.Version(), Machine: measure.ThisMachine(), Cap: limit}
	for _, p := range []struct {
		name string
		flood.Config
	}{
		{"no attack", flood.Config{}},
		{"one network", flood.Config{Attack: b.Attack, Networks: 1}},
		{"one network, with work", flood.Config{Attack: b.Attack, Networks: 1, Solvers: b.Solvers}},
		{"many networks", flood.Config{Attack: b.Attack, Networks: b.Networks}},
		{"many networks, with work", flood.Config{Attack: b.Attack, Networks: b.Networks, Solvers: b.Solvers}},
	} {
		fmt.Fprintf(s.err, "bench guard: %s, %v\n", p.name, b.Duration)
		p.Honest, p.Duration = b.Honest, b.Duration
		phase, err := b.phase(ctx, p.Config)
		if err != nil {
			return fmt.Errorf("bench guard: %s: %w", p.name, err)
		}
		phase.Phase = p.name
		if len(r.Phases) > 0 && phase.Asked > 0 {
			calm := r.Phases[0]
			honest := calm.CPU / float64(max(1, calm.Tried)) * float64(phase.Tried)
			phase.PerAsk = measure.Rounded((phase.CPU-honest)/float64(phase.Asked)*1e6, 1)
		}
		r.Phases = append(r.Phases, phase)
		share, p95, spent := phase.Share(), phase.P95, phase.Spent
		r.Bars = append(r.Bars,
			measure.NewBar(p.name+": honest users who got in", "share", ">=", 0.95, &share, ""),
			measure.NewBar(p.name+": p95 of their connects", "ms", "<=", 3000, &p95, ""),
			measure.NewBar(p.name+": money spent", "", "<=", limit, &spent, ""))
	}
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// phase runs one phase against a fresh server.
func (b *benchGuard) phase(ctx context.Context, c flood.Config) (p guardPhase, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return p, err
	}
	defer func() { _ = os.RemoveAll(dir) }()   // only what the server left there
	l, err := net.Listen("tcp", "127.0.0.1:0") // for a free port
	if err != nil {
		return p, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return p, err
	}
	child, err := measure.Start(ctx, []string{self, "serve", "--listen=" + addr, "--turn-listen=off", "--data-dir=" + filepath.Join(dir, "data"),
		"--budget-day-money=" + guardCap, "--execution-price=" + guardPrice, "--log-level=error"})
	if err != nil {
		return p, err
	}
	defer child.Stop()
	c.Base = "http://" + addr
	before, err := measure.CPU(child.PID)
	if err != nil {
		return p, err
	}
	if p.Result, err = flood.Run(ctx, c); err != nil {
		return p, err
	}
	after, err := measure.CPU(child.PID)
	if err != nil {
		return p, err
	}
	p.CPU = measure.Rounded((after - before).Seconds(), 3)
	p.Spent, err = metric(ctx, c.Base+"/metrics", `causeway_budget_spent_money{level="day"}`)
	return p, err
}

// metric reads one value of a server's metrics.
func metric(ctx context.Context, url, name string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}
