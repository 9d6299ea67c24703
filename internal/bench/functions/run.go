//go:build linux

package functions

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"causeway/deploy/functions"
	"causeway/internal/bench/measure"
	"causeway/internal/emulate"
)

// Run measures.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r := &Result{Benchmark: "functions", Machine: measure.ThisMachine()}
	for i := range cfg.Starts {
		cfg.Progress(fmt.Sprintf("start %d of %d", i+1, cfg.Starts))
		ms, cpu, err := start(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("start %d: %w", i+1, err)
		}
		r.StartMs, r.StartCPU = append(r.StartMs, measure.Rounded(ms, 1)), append(r.StartCPU, measure.Rounded(cpu, 1))
	}
	slices.Sort(r.StartMs)
	slices.Sort(r.StartCPU)
	if err := load(ctx, cfg, r); err != nil {
		return nil, err
	}
	median, ok := measure.Median(slices.Clone(r.StartCPU))
	value := &median
	if !ok {
		value = nil
	}
	rate := r.Rate
	r.Bars = []measure.Bar{
		measure.NewBar("CPU of a start, to the first answer and to the end", "ms", "<", startBarMs, value, "median; on a machine with a core to spare it is how long a start takes"),
		measure.NewBar("negotiations through the host", "1/s", ">=", heldShare*float64(cfg.Rate), &rate, fmt.Sprintf("%d asked for, %d failed", cfg.Rate, r.Failed)),
	}
	return r, nil
}

// start starts a handler, and returns how long it took to answer, and what CPU it used in all, in
// milliseconds. It is asked every millisecond, where the host asks every 25.
func start(ctx context.Context, cfg Config) (ms, cpu float64, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return 0, 0, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, 0, err
	}
	command := exec.CommandContext(ctx, cfg.Executable, "functions", "--data-dir", filepath.Join(cfg.Dir, "start"))
	command.Env = append(os.Environ(),
		"FUNCTIONS_CUSTOMHANDLER_PORT="+port,
		"AzureSignalRConnectionString=Endpoint=https://bench.service.signalr.net;AccessKey=bench;Version=1.0;",
		"BENCH_KEY="+base64.StdEncoding.EncodeToString(make([]byte, 32)), "CAUSEWAY_SIGNING_KEY=env:BENCH_KEY")
	var said strings.Builder
	command.Stderr = &said
	began := time.Now()
	if err := command.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		if end := command.Wait(); end != nil {
			err = errors.Join(err, fmt.Errorf("%w\n%s", end, &said))
			return
		}
		cpu = float64((command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Microseconds()) / 1000
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Since(began) < time.Minute {
		if w, err := client.Get("http://" + address + "/"); err == nil {
			return float64(time.Since(began).Microseconds()) / 1000, 0, w.Body.Close()
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	return 0, 0, errors.New("the handler did not answer within a minute")
}

// load runs the shape, and asks it.
func load(ctx context.Context, cfg Config, r *Result) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var shape *emulate.Shape
	ready := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		return emulate.Run(ctx, emulate.Config{
			Files: functions.Files, Executable: cfg.Executable, DataDir: filepath.Join(cfg.Dir, "shape"),
			Listen: "127.0.0.1:0", HostListen: "127.0.0.1:0", RealtimeListen: "127.0.0.1:0",
			// All come from one network and one session, which is a flood by default.
			Settings: []string{"CAUSEWAY_LOG_LEVEL=warn", "CAUSEWAY_RATE_LIMIT=0", "CAUSEWAY_WORK=off", "CAUSEWAY_WORK_FROM=100"}, Output: io.Discard, Logger: slog.New(slog.DiscardHandler),
			Welcome: func(s *emulate.Shape) error {
				shape = s
				close(ready)
				return nil
			},
		})
	})
	failed := make(chan error, 1)
	go func() { failed <- g.Wait() }() // ends with the shape, for which load waits
	select {
	case <-ready:
	case err := <-failed:
		return err
	}
	cfg.Progress(fmt.Sprintf("%d negotiations a second for %v", cfg.Rate, cfg.Duration))
	err := ask(ctx, cfg, shape, r)
	stop()
	return errors.Join(err, <-failed)
}

// ask asks for negotiations at a steady rate, and reads what the handler used meanwhile.
func ask(ctx context.Context, cfg Config, s *emulate.Shape, r *Result) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxConcurrent}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var session struct{ Grant string }
	if err := post(ctx, client, s.App()+"/api/sessions", "", &session); err != nil {
		return err
	}
	pid, _ := s.Host.Handler()
	for range cfg.Rate / 2 { // connections, and the heap's size
		if err := post(ctx, client, s.App()+"/api/negotiate", session.Grant, nil); err != nil {
			return err
		}
	}
	before, err := measure.CPU(pid)
	if err != nil {
		return err
	}
	own, err := measure.CPU(os.Getpid())
	if err != nil {
		return err
	}
	began := time.Now()
	latencies, failures := steady(ctx, cfg, func() error { return post(ctx, client, s.App()+"/api/negotiate", session.Grant, nil) })
	elapsed := time.Since(began).Seconds()
	after, err := measure.CPU(pid)
	if err != nil {
		return err
	}
	ownAfter, err := measure.CPU(os.Getpid())
	if err != nil {
		return err
	}
	resident, err := measure.Resident(pid)
	if err != nil {
		return err
	}
	r.Asked, r.Failed = len(latencies)+failures, failures
	if len(latencies) == 0 {
		return errors.New("every negotiation failed")
	}
	slices.Sort(latencies)
	r.Rate = measure.Rounded(float64(len(latencies))/elapsed, 1)
	r.CPUMs = measure.Rounded(float64((after-before).Microseconds())/1000/float64(len(latencies)), 3)
	r.DoubleMs = measure.Rounded(float64((ownAfter-own).Microseconds())/1000/float64(len(latencies)), 3)
	r.Cores = measure.Rounded((after-before).Seconds()/elapsed, 3)
	r.RSSMiB = measure.Rounded(float64(resident)/(1<<20), 1)
	r.MedianMs = measure.Rounded(latencies[len(latencies)/2], 2)
	r.P99Ms = measure.Rounded(latencies[len(latencies)*99/100], 2)
	return nil
}

// steady calls do at the rate, each on time whether or not others are late, and returns how long
// those took that did not fail, from when they were due.
func steady(ctx context.Context, cfg Config, do func() error) (latencies []float64, failures int) {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(maxConcurrent)
	began := time.Now()
	total := int(cfg.Duration.Seconds() * float64(cfg.Rate))
	for i := range total {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(cfg.Rate))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := do()
			took := float64(time.Since(due).Microseconds()) / 1000
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures++
			} else {
				latencies = append(latencies, took)
			}
			return nil
		})
	}
	_ = g.Wait() // they count their errors
	return latencies, failures
}

func post(ctx context.Context, client *http.Client, address, grant string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if grant != "" {
		r.Header.Set("Authorization", "Bearer "+grant)
	}
	w, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = w.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(w.Body, 1<<20))
	if err != nil {
		return err
	}
	if w.StatusCode > 299 {
		return errors.New("status " + strconv.Itoa(w.StatusCode))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}
