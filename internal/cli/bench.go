package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"causeway/internal/ops"
)

// benchCommand groups the benchmarks. Each runs servers of its own, on loopback,
// and prints JSON.
type benchCommand struct {
	Start     benchStart     `cmd:"" help:"Time from start to listening, and memory when idle."`
	Realtime  benchRealtime  `cmd:"" help:"The realtime service: connecting, memory, CPU per message, latency, against yardsticks."`
	Relay     benchRelay     `cmd:"" help:"The relay: CPU per packet, set-up, memory, against coturn and a bare forwarder."`
	Functions benchFunctions `cmd:"" help:"The custom handler of Azure Functions: start-up, CPU of a negotiation under load."`
	Guard     benchGuard     `cmd:"" help:"A flood: honest users beside attacks from one network and from many, without and with work."`
	Yardstick benchYardstick `cmd:"" hidden:"" help:"What bench realtime compares with."`
	Forwarder benchForwarder `cmd:"" hidden:"" help:"What bench relay compares with."`
}

// benchStart starts this binary's serve several times.
type benchStart struct {
	Runs int           `default:"5" help:"How often to start."`
	Idle time.Duration `default:"3s" help:"How long to wait before reading the memory."`
}

// startResult is what bench start prints. Times are in milliseconds, sizes in MiB.
type startResult struct {
	Benchmark     string    `json:"benchmark"`
	Version       string    `json:"version"`
	Machine       string    `json:"machine"`
	ListeningMs   []float64 `json:"listening_ms"` // from exec to the sockets being open, sorted
	MedianMs      float64   `json:"listening_median_ms"`
	CPUMs         []float64 `json:"cpu_ms"` // of the process until it had idled, sorted
	IdleMiB       []float64 `json:"idle_rss_mib"`
	MedianIdleMiB float64   `json:"idle_rss_median_mib"`
}

func (b *benchStart) Run(ctx context.Context, s streams) error {
	if b.Runs < 1 || b.Idle < 0 {
		return usageError{errors.New("--runs must be at least 1 and --idle not negative")}
	}
	r := startResult{Benchmark: "start", Version: ops.Version(), Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	for i := range b.Runs {
		fmt.Fprintf(s.err, "\rstart %d of %d", i+1, b.Runs)
		if err := b.once(ctx, &r); err != nil {
			fmt.Fprintln(s.err)
			return fmt.Errorf("run %d: %w", i+1, err)
		}
	}
	fmt.Fprintln(s.err)
	for _, v := range [][]float64{r.ListeningMs, r.CPUMs, r.IdleMiB} {
		slices.Sort(v)
	}
	r.MedianMs, r.MedianIdleMiB = r.ListeningMs[b.Runs/2], r.IdleMiB[b.Runs/2]
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// once starts a server on free ports of loopback, with an empty data directory.
func (b *benchStart) once(ctx context.Context, r *startResult) (err error) {
	dir, err := os.MkdirTemp("", "causeway-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	c := exec.CommandContext(ctx, self, "serve", "--listen=127.0.0.1:0", "--turn-listen=127.0.0.1:0", "--data-dir="+filepath.Join(dir, "data"))
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil { // printed once the sockets are open
		return fmt.Errorf("server did not start: %w\n%s", errors.Join(err, c.Wait()), &log)
	}
	r.ListeningMs = append(r.ListeningMs, float64(time.Since(begin).Microseconds())/1000)
	select {
	case <-time.After(b.Idle):
	case <-ctx.Done():
	}
	rss, rssErr := residentMiB(c.Process.Pid)
	if err := errors.Join(rssErr, c.Process.Signal(syscall.SIGTERM)); err != nil {
		return errors.Join(err, c.Wait())
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("server failed: %w\n%s", err, &log)
	}
	r.IdleMiB = append(r.IdleMiB, rss)
	r.CPUMs = append(r.CPUMs, float64((c.ProcessState.UserTime()+c.ProcessState.SystemTime()).Microseconds())/1000)
	return nil
}

// residentMiB reads the resident memory of a process from proc(5).
func residentMiB(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of the server (needs Linux): %w", err)
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, errors.New("memory of the server: unexpected /proc/PID/statm")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of the server: %w", err)
	}
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), nil
}
