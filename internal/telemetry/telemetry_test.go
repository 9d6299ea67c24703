package telemetry

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// item is an envelope as the service reads it.
type item struct {
	Name, Time, IKey string
	SampleRate       float64
	Tags             map[string]string
	Data             struct {
		BaseType string
		BaseData map[string]any
	}
}

// receiver is the ingestion service, in memory.
type receiver struct {
	t       *testing.T
	mu      sync.Mutex
	items   []item
	batches int
	tokens  []string
	status  int // 0: 200
	refused int
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Method != "POST" || q.URL.String() != "https://west.example/v2.1/track" || q.Header.Get("Content-Type") != "application/x-json-stream" {
		r.t.Errorf("%s %s %v", q.Method, q.URL, q.Header)
	}
	r.tokens = append(r.tokens, q.Header.Get("Authorization"))
	z, err := gzip.NewReader(q.Body)
	if err != nil {
		return nil, err
	}
	var batch []item
	for lines := json.NewDecoder(z); ; {
		var i item
		if err := lines.Decode(&i); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		batch = append(batch, i)
	}
	r.batches++
	status := r.status
	if status == 0 {
		status = 200
		r.items = append(r.items, batch...)
	}
	answer := fmt.Sprintf(`{"itemsReceived":%d,"itemsAccepted":%d,"errors":[]}`, len(batch), len(batch)-r.refused)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

const connection = "InstrumentationKey=00000000-1111-2222-3333-444444444444;IngestionEndpoint=https://west.example/;LiveEndpoint=https://live.example/"

// run runs a client around what do does, and returns what arrived.
func run(t *testing.T, change func(*Config, *receiver), do func(c *Client)) *receiver {
	t.Helper()
	r := &receiver{t: t}
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Connection: connection, Role: "role", Version: "v1", Sampling: 100, Transport: r}
		if change != nil {
			change(&cfg, r)
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		do(c)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A request, what it calls and what it logs are one trace, below the caller's.
func TestTrace(t *testing.T) {
	r := run(t, nil, func(c *Client) {
		mux := http.NewServeMux()
		client := &http.Client{Transport: c.Transport("signalr", roundTrip(func(r *http.Request) (*http.Response, error) {
			time.Sleep(40 * time.Millisecond)
			return &http.Response{StatusCode: 202, Body: http.NoBody}, nil
		}))}
		log := slog.New(c.Log(slog.DiscardHandler)).With("part", "signaling").WithGroup("g")
		mux.HandleFunc("POST /api/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
			q, err := http.NewRequestWithContext(r.Context(), "POST", "https://x.example/api/hubs/h/users/secret-user/:send", nil)
			if err != nil {
				t.Error(err)
			}
			if _, err := client.Do(q); err != nil {
				t.Error(err)
			}
			log.WarnContext(r.Context(), "something odd", "err", "why")
			log.InfoContext(r.Context(), "nothing odd")
			w.WriteHeader(201)
		})
		q := httptest.NewRequest("POST", "/api/sessions/secret-session?token=secret-token", nil)
		q.Header.Set("Traceparent", parent)
		q.Header.Set("X-Forwarded-For", "203.0.113.77")
		c.Handler(mux).ServeHTTP(httptest.NewRecorder(), q)
		outside := c.Transport("other", roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("x") }))
		if _, err := outside.RoundTrip(q); err == nil { // and as it is in no request, it is not sent
			t.Error("the error is lost")
		}
		time.Sleep(sendEvery + time.Second)
	})
	if len(r.items) != 3 || r.batches != 1 {
		t.Fatalf("%d items in %d batches: %+v", len(r.items), r.batches, r.items)
	}
	call, line, request := r.items[0], r.items[1], r.items[2]
	for _, i := range r.items {
		if i.IKey != "00000000-1111-2222-3333-444444444444" || i.Tags["ai.operation.id"] != "0af7651916cd43dd8448eb211c80319c" || i.Tags["ai.cloud.role"] != "role" || i.Tags["ai.location.ip"] != "0.0.0.0" || i.SampleRate != 0 {
			t.Errorf("%+v", i)
		}
		if _, err := time.Parse(time.RFC3339, i.Time); err != nil {
			t.Error(err)
		}
	}
	id, _ := request.Data.BaseData["id"].(string)
	if request.Name != "Microsoft.ApplicationInsights.Request" || request.Data.BaseType != "RequestData" || request.Tags["ai.operation.parentId"] != "b7ad6b7169203331" || len(id) != 16 {
		t.Errorf("%+v", request)
	}
	for key, want := range map[string]any{"name": "POST /api/sessions/{id}", "responseCode": "201", "success": true, "duration": "0.00:00:00.040000", "ver": 2.0} {
		if got := request.Data.BaseData[key]; got != want {
			t.Errorf("request: %s is %v", key, got)
		}
	}
	if call.Tags["ai.operation.parentId"] != id || call.Data.BaseType != "RemoteDependencyData" || call.Data.BaseData["name"] != "POST signalr" || call.Data.BaseData["resultCode"] != "202" || call.Data.BaseData["success"] != true {
		t.Errorf("%+v", call)
	}
	p, _ := line.Data.BaseData["properties"].(map[string]any)
	if line.Tags["ai.operation.parentId"] != id || line.Data.BaseData["message"] != "something odd" || line.Data.BaseData["severityLevel"] != 2.0 || p["part"] != "signaling" || p["g.err"] != "why" {
		t.Errorf("%+v", line)
	}
	if text := fmt.Sprint(r.items); strings.Contains(text, "secret-") || strings.Contains(text, "203.0.113") {
		t.Errorf("something personal: %s", text)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whole traces are sent or not: as the caller decided, or by share; failures always.
func TestSampling(t *testing.T) {
	serve := func(c *Client, traceparent string, code int) {
		h := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			slog.New(c.Log(slog.DiscardHandler)).WarnContext(r.Context(), "w")
			w.WriteHeader(code)
		}))
		q := httptest.NewRequest("GET", "/", nil)
		if traceparent != "" {
			q.Header.Set("Traceparent", traceparent)
		}
		h.ServeHTTP(httptest.NewRecorder(), q)
	}
	sampling := func(percent float64) func(*Config, *receiver) {
		return func(c *Config, _ *receiver) { c.Sampling = percent }
	}
	notSampled := strings.TrimSuffix(parent, "01") + "00"
	for name, tt := range map[string]struct {
		percent float64
		parent  string
		code    int
		want    int
	}{
		"the caller says yes": {0, parent, 200, 2}, "the caller says no": {100, notSampled, 200, 0}, "a failure": {0, notSampled, 503, 1},
		"nobody says": {0, "", 200, 0}, "all": {100, "", 200, 2}, "not a header": {100, "00-xyz-1-01", 404, 2},
	} {
		r := run(t, sampling(tt.percent), func(c *Client) { serve(c, tt.parent, tt.code) })
		if len(r.items) != tt.want {
			t.Errorf("%s: %+v", name, r.items)
		}
	}
	r := run(t, sampling(25), func(c *Client) {
		for range 2000 {
			serve(c, "", 200)
		}
	})
	if n := len(r.items); n < 700 || n > 1300 || r.items[0].SampleRate != 25 { // two for each of about 500
		t.Errorf("%d items", n)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total"}, []string{"reason"})
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h"})
	reg.MustRegister(counter, gauge, histogram)
	r := run(t, func(c *Config, _ *receiver) { c.Gatherer = reg }, func(*Client) {
		counter.WithLabelValues("a").Add(3)
		gauge.Set(7)
		histogram.Observe(2)
		time.Sleep(metricsEvery + 2*sendEvery)
		counter.WithLabelValues("a").Add(4)
		time.Sleep(metricsEvery)
	})
	got := map[string][]float64{}
	for _, i := range r.items {
		m, _ := i.Data.BaseData["metrics"].([]any)[0].(map[string]any)
		name, _ := m["name"].(string)
		v, _ := m["value"].(float64)
		got[name] = append(got[name], v)
		if p, _ := i.Data.BaseData["properties"].(map[string]any); name == "c_total" && p["reason"] != "a" {
			t.Errorf("%+v", i)
		}
	}
	// The gauge once more at the end.
	if want := map[string][]float64{"c_total": {3, 4}, "g": {7, 7, 7}, "h_count": {1}, "h_sum": {2}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
}

// A service that is away costs one more try, and then the items; never more memory than the queue.
func TestFailures(t *testing.T) {
	var failures int
	var c *Client
	r := run(t, func(cfg *Config, r *receiver) {
		cfg.Failed = func(error) { failures++ }
		cfg.Token = func(context.Context) (string, error) { return "token", nil }
		r.status = 503
	}, func(client *Client) {
		c = client
		c.put("Message", time.Now(), span{}, "", messageData{})
		time.Sleep(5 * sendEvery)
	})
	if len(r.items) != 0 || r.batches != 2 || failures != 2 || testutil.ToFloat64(c.dropped.WithLabelValues("failed")) != 1 || r.tokens[0] != "Bearer token" {
		t.Errorf("%d batches, %d failures, tokens %v", r.batches, failures, r.tokens)
	}
	r = run(t, func(_ *Config, r *receiver) { r.status = 400 }, func(client *Client) {
		c = client
		c.put("Message", time.Now(), span{}, "", messageData{})
		time.Sleep(5 * sendEvery)
	})
	if r.batches != 1 {
		t.Errorf("what was refused was sent again")
	}
	run(t, func(_ *Config, r *receiver) { r.refused = 1 }, func(client *Client) {
		c = client
		c.put("Message", time.Now(), span{}, "", messageData{})
		time.Sleep(5 * sendEvery)
	})
	if testutil.ToFloat64(c.dropped.WithLabelValues("refused")) != 1 {
		t.Error("a refusal of one item is not counted")
	}
	c, err := New(Config{Connection: connection})
	if err != nil {
		t.Fatal(err)
	}
	for range queueSize + 10 {
		c.put("Message", time.Now(), span{}, "", messageData{})
	}
	if n := testutil.ToFloat64(c.dropped.WithLabelValues("full")); n != 10 {
		t.Errorf("%v dropped", n)
	}
}

func TestConnection(t *testing.T) {
	for _, bad := range []string{"", "IngestionEndpoint=https://x.example", "InstrumentationKey=k;IngestionEndpoint=ftp://x", "InstrumentationKey=k;IngestionEndpoint=%"} {
		if _, err := New(Config{Connection: bad}); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c, err := New(Config{Connection: "InstrumentationKey=k"})
	if err != nil || c.address != defaultServer+trackPath {
		t.Errorf("%v", err)
	}
}

func TestTraceparent(t *testing.T) {
	for text, ok := range map[string]bool{
		parent: true, "cc" + parent[2:] + "-more": true, parent + "-more": false, "ff" + parent[2:]: false, strings.ToUpper(parent): false, "": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false, "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0": false,
	} {
		if _, _, _, got := parseTraceparent(text); got != ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
