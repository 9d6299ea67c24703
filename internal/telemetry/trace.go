package telemetry

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is a request that is being answered, in the context of what is done for it.
type span struct {
	trace, id string
	rate      float64 // in percent, for the items; 0: not known, as the caller decided
	sent      bool
	name      *string // of the request, once it is known
}

type spanKey struct{}

func spanOf(ctx context.Context) span {
	s, _ := ctx.Value(spanKey{}).(span)
	return s
}

// begin is the span of a request: in the caller's trace, if it names one.
func (c *Client) begin(traceparent string) (s span, parent string) {
	s = span{id: newID(8), name: new(string)}
	trace, parent, flags, ok := parseTraceparent(traceparent)
	if ok {
		s.trace, s.sent = trace, flags&1 == 1
		return s, parent
	}
	s.trace, s.rate = newID(16), c.cfg.Sampling
	s.sent = share(s.trace) < c.cfg.Sampling
	return s, ""
}

// share is a number from 0 to 100 that is the same for the same trace everywhere.
func share(trace string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(trace)) // never fails
	return float64(h.Sum64()) / math.MaxUint64 * 100
}

// parseTraceparent reads the header of W3C Trace Context §3.2.
func parseTraceparent(text string) (trace, parent string, flags byte, ok bool) {
	parts := strings.Split(text, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 || parts[0] == "00" && len(parts) != 4 {
		return "", "", 0, false
	}
	for _, p := range parts[:4] {
		if _, err := hex.DecodeString(p); err != nil || p != strings.ToLower(p) {
			return "", "", 0, false
		}
	}
	f, _ := strconv.ParseUint(parts[3], 16, 8) // it is hex
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", 0, false
	}
	return parts[1], parts[2], byte(f), true
}

// duration is d as the API writes it: days.hours:minutes:seconds.
func duration(d time.Duration) string {
	d = max(0, d)
	return fmt.Sprintf("%d.%02d:%02d:%02d.%06d", d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60, d/time.Microsecond%1e6)
}

// status keeps what next answers with.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// requestData is the API's item for a request.
type requestData struct {
	Version      int    `json:"ver"`
	ID           string `json:"id"`
	Name         string `json:"name"`
	Duration     string `json:"duration"`
	ResponseCode string `json:"responseCode"`
	Success      bool   `json:"success"`
}

// Handler returns next with a request item for each request; its name is the pattern of the route
// that next has found.
func (c *Client) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s, parent := c.begin(r.Header.Get("Traceparent"))
		r = r.WithContext(context.WithValue(r.Context(), spanKey{}, s))
		to := &status{ResponseWriter: w}
		defer func() {
			if to.code == 0 {
				to.code = http.StatusOK
			}
			failed := to.code >= 500
			if *s.name = r.Pattern; r.Pattern == "" {
				*s.name = "no route"
			}
			if !s.sent {
				if !failed {
					return
				}
				s.rate = 0 // failures are sent all
			}
			c.put("Request", began, s, parent, requestData{2, s.id, *s.name, duration(time.Since(began)), strconv.Itoa(to.code), !failed})
		}()
		next.ServeHTTP(to, r)
	})
}

// dependencyData is the API's item for a call.
type dependencyData struct {
	Version    int    `json:"ver"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Target     string `json:"target"`
	ResultCode string `json:"resultCode"`
	Duration   string `json:"duration"`
	Success    bool   `json:"success"`
}

// Transport returns next with a dependency item for each call, to a service of that name, which is
// made in the context of a request.
func (c *Client) Transport(name string, next http.RoundTripper) http.RoundTripper {
	return transport{c, name, next}
}

type transport struct {
	client *Client
	name   string
	next   http.RoundTripper
}

// CloseIdleConnections is for http.Client.
func (t transport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	s := spanOf(r.Context())
	if s.trace == "" {
		return t.next.RoundTrip(r)
	}
	began, id := time.Now(), newID(8)
	w, err := t.next.RoundTrip(r)
	code := "0"
	if err == nil {
		code = strconv.Itoa(w.StatusCode)
	}
	if failed := err != nil || w.StatusCode >= 500; s.sent || failed {
		t.client.put("RemoteDependency", began, s, s.id, dependencyData{2, id, r.Method + " " + t.name, "HTTP", t.name, code, duration(time.Since(began)), !failed})
	}
	return w, err
}
