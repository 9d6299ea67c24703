// Package telemetry sends traces, metrics and logs to Application Insights, by its ingestion API
// (POST /v2.1/track). That is a few hundred lines of JSON; OpenTelemetry's exporter would bring gRPC's
// modules along and need a collector beside a function app.
//
//	Handler     one request item for each request, in the trace that the caller's traceparent names
//	Transport   one dependency item for each call that a request made, below it
//	Log         a slog.Handler that also sends what is logged from Warn on, in the trace of its context
//	Run         sends; and every minute what the process's metrics have become
//
// Nothing personal is in it: names of requests are patterns of routes, those of dependencies are given
// by the caller, and no URL, header, address or user is looked at; the address that the service would
// note of the sender is set to 0.0.0.0.
//
// A trace is sent whole or not at all. Whether, the caller has decided if it says so (the sampled
// flag), and otherwise a hash of the trace's id does; failures are always sent, and so is what is
// logged as an error. Items carry the rate, so that counts come out right.
//
// # Bounds and policies
//
//	items that wait    4096; the newest are dropped, counted
//	a batch            500 items, sent every 5 s; one that fails with 429 or 5xx is sent once more
//	metrics            as many as the registry has, 2000 at most
package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config configures a Client. Connection is required.
type Config struct {
	// Connection is the connection string: InstrumentationKey=…;IngestionEndpoint=….
	Connection string
	// Token of an identity, where the resource takes no keys; nil: none.
	Token func(context.Context) (string, error)
	// Role is the name of this part of the application; Version that of its build.
	Role, Version string
	// Sampling is how much of what nobody has decided about is sent, in percent.
	Sampling float64
	// Gatherer has the metrics; nil: none are sent.
	Gatherer prometheus.Gatherer
	// Registerer gets the client's own metrics; nil: nobody.
	Registerer prometheus.Registerer
	// Transport; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Failed is called with why a batch was lost; nil: nobody is told.
	Failed func(error)
}

const (
	queueSize     = 4096
	batchSize     = 500
	sendEvery     = 5 * time.Second
	metricsEvery  = time.Minute
	sendTimeout   = 10 * time.Second
	flushTimeout  = 3 * time.Second
	maxAnswer     = 64 << 10
	maxMetrics    = 2000
	maxText       = 8 << 10
	trackPath     = "/v2.1/track"
	defaultServer = "https://dc.services.visualstudio.com"
)

// Scope is what an identity's token is asked for.
const Scope = "https://monitor.azure.com/.default"

// Client is safe for concurrent use.
type Client struct {
	cfg     Config
	key     string
	address string
	http    *http.Client
	tags    map[string]string
	queue   chan *envelope
	dropped *prometheus.CounterVec
	before  map[string]float64 // counters as they were sent last; Run's
}

// New checks cfg and makes a Client; it starts nothing.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, queue: make(chan *envelope, queueSize), before: map[string]float64{}}
	server := defaultServer
	for part := range strings.SplitSeq(cfg.Connection, ";") {
		switch name, value, _ := strings.Cut(part, "="); strings.ToLower(strings.TrimSpace(name)) {
		case "instrumentationkey":
			c.key = strings.TrimSpace(value)
		case "ingestionendpoint":
			server = strings.TrimSpace(value)
		}
	}
	u, err := url.Parse(server)
	if c.key == "" || err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("telemetry: the connection string has no InstrumentationKey, or no good IngestionEndpoint") // and is not repeated
	}
	if cfg.Sampling < 0 || cfg.Sampling > 100 {
		return nil, errors.New("telemetry: want a sampling of 0 to 100 percent")
	}
	c.address = strings.TrimSuffix(server, "/") + trackPath
	c.http = &http.Client{Transport: cfg.Transport, Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.tags = map[string]string{
		"ai.cloud.role": cfg.Role, "ai.cloud.roleInstance": newID(4), "ai.application.ver": cfg.Version,
		"ai.internal.sdkVersion": "causeway:" + cfg.Version, "ai.location.ip": "0.0.0.0",
	}
	c.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_telemetry_dropped_total", Help: "Items of telemetry that were not sent, by reason."}, []string{"reason"})
	for _, reason := range []string{"full", "refused", "failed"} {
		c.dropped.WithLabelValues(reason)
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(c.dropped); err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
	}
	return c, nil
}

// envelope is one item as the API takes it.
type envelope struct {
	Name       string            `json:"name"`
	Time       string            `json:"time"`
	Key        string            `json:"iKey"`
	SampleRate float64           `json:"sampleRate,omitempty"`
	Tags       map[string]string `json:"tags"`
	Data       data              `json:"data"`
	again      bool              // was sent in vain once
}

type data struct {
	BaseType string `json:"baseType"`
	BaseData any    `json:"baseData"`
}

// put makes an item of s, and queues it.
func (c *Client) put(kind string, at time.Time, s span, parent string, baseData any) {
	tags := make(map[string]string, len(c.tags)+3)
	for k, v := range c.tags {
		tags[k] = v
	}
	if s.trace != "" {
		tags["ai.operation.id"] = s.trace
		if parent != "" {
			tags["ai.operation.parentId"] = parent
		}
		if s.name != nil && *s.name != "" {
			tags["ai.operation.name"] = *s.name
		}
	}
	e := &envelope{
		Name: "Microsoft.ApplicationInsights." + kind, Time: at.UTC().Format("2006-01-02T15:04:05.000Z"), Key: c.key, SampleRate: s.rate, Tags: tags,
		Data: data{BaseType: kind + "Data", BaseData: baseData},
	}
	select {
	case c.queue <- e:
	default:
		c.dropped.WithLabelValues("full").Inc()
	}
}

// Run sends until ctx ends, and then what is left, within three seconds.
func (c *Client) Run(ctx context.Context) error {
	send, measure := time.NewTicker(sendEvery), time.NewTicker(metricsEvery)
	defer send.Stop()
	defer measure.Stop()
	var batch []*envelope
	for {
		select {
		case e := <-c.queue:
			if batch = append(batch, e); len(batch) >= batchSize {
				batch = c.send(ctx, batch)
			}
		case <-send.C:
			batch = c.send(ctx, batch)
		case <-measure.C:
			c.measure()
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			c.measure()
			for len(c.queue) > 0 {
				batch = append(batch, <-c.queue)
			}
			for len(batch) > 0 && late.Err() == nil {
				n := min(len(batch), batchSize)
				c.send(late, batch[:n])
				batch = batch[n:]
			}
			return nil
		}
	}
}

// send sends a batch, and returns what is to be sent once more.
func (c *Client) send(ctx context.Context, batch []*envelope) (again []*envelope) {
	if len(batch) == 0 {
		return nil
	}
	retry, err := c.post(ctx, batch)
	if err == nil {
		return nil
	}
	if c.cfg.Failed != nil {
		c.cfg.Failed(err)
	}
	for _, e := range batch {
		if retry && !e.again {
			e.again = true
			again = append(again, e)
		} else {
			c.dropped.WithLabelValues("failed").Inc()
		}
	}
	return again
}

// post makes the request; retry says whether it may work another time.
func (c *Client) post(ctx context.Context, batch []*envelope) (retry bool, err error) {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	lines := json.NewEncoder(z) // a line each
	for _, e := range batch {
		if err := lines.Encode(e); err != nil {
			return false, fmt.Errorf("send telemetry: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return false, fmt.Errorf("send telemetry: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, &body)
	if err != nil {
		return false, fmt.Errorf("send telemetry: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-json-stream")
	r.Header.Set("Content-Encoding", "gzip")
	if c.cfg.Token != nil {
		token, err := c.cfg.Token(ctx)
		if err != nil {
			return true, fmt.Errorf("send telemetry: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w, err := c.http.Do(r)
	if err != nil {
		return true, fmt.Errorf("send telemetry: %w", err)
	}
	defer func() { _ = w.Body.Close() }()
	var answer struct{ ItemsReceived, ItemsAccepted int }
	if w.StatusCode == http.StatusOK || w.StatusCode == http.StatusPartialContent {
		if err := json.NewDecoder(io.LimitReader(w.Body, maxAnswer)).Decode(&answer); err == nil && answer.ItemsReceived > answer.ItemsAccepted {
			c.dropped.WithLabelValues("refused").Add(float64(answer.ItemsReceived - answer.ItemsAccepted))
		}
		return false, nil
	}
	return w.StatusCode == http.StatusTooManyRequests || w.StatusCode >= 500, fmt.Errorf("send telemetry: status %d", w.StatusCode)
}

func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
