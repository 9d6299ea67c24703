// Package smoke asks a deployment, from outside and in seconds, whether it works: two peers make and join
// a session, connect to its realtime service (ours or Azure's), exchange a message either way, and allocate
// on the relay that they are given. It is what a pipeline runs after a deploy, and what decides whether
// the package stays.
//
// It speaks the public protocol only (docs/protocol.md §2, §3), so any shape of Causeway can be asked. It
// leaves nothing: its session has no more members when it ends, and its allocations are given back.
package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says what to ask.
type Config struct {
	URL       string        // origin of the API
	Relay     bool          // is there to be a relay?
	Report    func(Step)    // told of each step as it is done
	Patience  time.Duration // for each step
	Transport http.RoundTripper
}

// Step is something that was tried.
type Step struct {
	Name string
	Took time.Duration
	Err  error
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// peer is one of the two.
type peer struct {
	role, id, grant, invite string
	conn                    *conn
}

// Run takes all steps, and returns the first error.
func Run(ctx context.Context, cfg Config) error {
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") {
		return fmt.Errorf("%q is not the URL of a deployment, such as https://send.example.org", cfg.URL)
	}
	r := &runner{cfg: cfg, base: strings.TrimRight(base.Scheme+"://"+base.Host+base.Path, "/"), host: &peer{role: "host"}, guest: &peer{role: "guest"}}
	r.client = &http.Client{Transport: cfg.Transport, Timeout: cfg.Patience}
	defer r.close()
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"make a session", r.create},
		{"join it by its invite", r.join},
		{"refuse a forged invite", r.forged},
		{"negotiate and connect, twice", r.connect},
		{"exchange a message either way", r.exchange},
		{"get ICE servers", r.servers},
	}
	if cfg.Relay {
		steps = append(steps, struct {
			name string
			do   func(context.Context) error
		}{"allocate on the relay", r.allocate})
	}
	for _, s := range steps {
		start := time.Now()
		sctx, cancel := context.WithTimeout(ctx, cfg.Patience)
		err := s.do(sctx)
		cancel()
		if cfg.Report != nil {
			cfg.Report(Step{s.name, time.Since(start), err})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

type runner struct {
	cfg         Config
	base        string
	client      *http.Client
	host, guest *peer
}

func (r *runner) close() {
	for _, p := range []*peer{r.guest, r.host} {
		if p.conn != nil {
			p.conn.bye()
		}
	}
	r.client.CloseIdleConnections()
}

// post asks the API; bearer may be empty.
func (r *runner) post(ctx context.Context, url, bearer string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", withoutURL(err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode >= 300 {
		return statusError{res.StatusCode, codeOf(text)}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("the answer is not what this protocol has: %w", err)
	}
	return nil
}

// statusError is an answer that is none.
type statusError struct {
	status int
	code   string
}

func (e statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s %s", e.status, http.StatusText(e.status), e.code))
}

// codeOf is the code of our errors, and nothing of other people's.
func codeOf(text []byte) string {
	var e struct{ Code string }
	if json.Unmarshal(text, &e) != nil || len(e.Code) > 40 {
		return ""
	}
	return e.Code
}

// withoutURL takes the URL out of an error of net/http: its query may have a token.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (r *runner) create(ctx context.Context) error {
	var a struct{ Session, Peer, Grant, Invite string }
	if err := r.post(ctx, r.base+"/api/sessions", "", struct{}{}, &a); err != nil {
		return err
	}
	if a.Session == "" || a.Peer == "" || a.Grant == "" || a.Invite == "" {
		return errors.New("the answer lacks a session, a grant or an invite")
	}
	r.host.id, r.host.grant, r.host.invite = a.Peer, a.Grant, a.Invite
	return nil
}

func (r *runner) join(ctx context.Context) error {
	var a struct{ Peer, Grant string }
	if err := r.post(ctx, r.base+"/api/sessions/join", "", map[string]string{"invite": r.host.invite}, &a); err != nil {
		return err
	}
	if a.Peer == "" || a.Grant == "" || a.Peer == r.host.id {
		return errors.New("the answer lacks a grant, or a peer of its own")
	}
	r.guest.id, r.guest.grant = a.Peer, a.Grant
	return nil
}

// forged says that signatures are checked: a deployment that believes everything passes all else.
func (r *runner) forged(ctx context.Context) error {
	i := r.host.invite
	flipped := "A"
	if strings.HasSuffix(i[:len(i)-1], flipped) {
		flipped = "B"
	}
	err := r.post(ctx, r.base+"/api/sessions/join", "", map[string]string{"invite": i[:len(i)-2] + flipped + i[len(i)-1:]}, &struct{}{})
	if e := (statusError{}); errors.As(err, &e) && e.status == http.StatusNotFound {
		return nil
	} else if err != nil {
		return err
	}
	return errors.New("it was believed")
}

func (r *runner) connect(ctx context.Context) error {
	for _, p := range []*peer{r.host, r.guest} {
		var a struct{ URL, AccessToken string }
		if err := r.post(ctx, r.base+"/api/negotiate?negotiateVersion=1", p.grant, struct{}{}, &a); err != nil {
			return fmt.Errorf("negotiate: %w", err)
		}
		var err error
		if p.conn, err = r.dial(ctx, a.URL, a.AccessToken); err != nil {
			return err
		}
	}
	return nil
}

// exchange: the guest says hello until the host has heard it (at most once, says the contract), and
// each sends the other a signal.
func (r *runner) exchange(ctx context.Context) error {
	if err := r.until(ctx, r.guest, "hello", func(n int) any { return map[string]int{"n": n} }, r.host); err != nil {
		return err
	}
	for _, way := range [][2]*peer{{r.host, r.guest}, {r.guest, r.host}} {
		from, to := way[0], way[1]
		signal := func(n int) any {
			return map[string]any{"to": to.id, "n": n + 100, "data": map[string]string{"type": "busy"}}
		}
		if err := r.until(ctx, from, "signal", signal, to); err != nil {
			return err
		}
	}
	return nil
}

// again is how long a message may take before it is sent again.
const again = 3 * time.Second

// until invokes a method as one peer until the other has an event of the same name from it.
func (r *runner) until(ctx context.Context, from *peer, method string, argument func(n int) any, to *peer) error {
	for n := 1; ; n++ {
		if err := from.conn.invoke(ctx, method, argument(n)); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		wait, cancel := context.WithTimeout(ctx, again)
		event, err := to.conn.event(wait, method)
		cancel()
		if err == nil {
			if event.From != from.id || event.Role != from.role {
				return fmt.Errorf("%s came from somebody else", method)
			}
			return nil
		}
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return fmt.Errorf("no %s of the %s reached the other: %w", method, from.role, err)
		}
	}
}
