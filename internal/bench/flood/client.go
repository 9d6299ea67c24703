package flood

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"causeway/internal/guard/work"
)

// source is an HTTP client that has an address of its own.
type source struct{ http *http.Client }

func dialer(from netip.Addr) *net.Dialer {
	return &net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
}

func newSource(from netip.Addr) *source {
	return &source{&http.Client{
		Timeout:   patience,
		Transport: &http.Transport{DialContext: dialer(from).DialContext, MaxIdleConnsPerHost: attackers, MaxConnsPerHost: attackers},
	}}
}

func (s *source) close() { s.http.CloseIdleConnections() }

// answer is what a request got.
type answer struct {
	status int
	retry  time.Duration
	body   struct{ Grant, Work, Code, URL, AccessToken, ConnectionToken string }
}

// post makes one request.
func (s *source) post(ctx context.Context, url, bearer, solution string) (a answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		return a, err
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if solution != "" {
		r.Header.Set("Causeway-Work", solution)
	}
	res, err := s.http.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return a, err
	}
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // 0 if there is none
	a.status, a.retry = res.StatusCode, time.Duration(seconds)*time.Second
	_ = json.Unmarshal(b, &a.body) // not all answers are JSON
	return a, nil
}

// patiently is post, with the work and the waiting that a page does.
func (s *source) patiently(ctx context.Context, url, bearer string) (answer, error) {
	solution := ""
	for range 8 {
		a, err := s.post(ctx, url, bearer, solution)
		if err != nil || a.status < 300 {
			return a, err
		}
		solution = ""
		switch {
		case a.body.Work != "":
			if solution, err = work.Solve(ctx, a.body.Work); err != nil {
				return a, err
			}
		case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
			select {
			case <-time.After(a.retry):
			case <-ctx.Done():
				return a, fmt.Errorf("%s: %d %s: %w", url, a.status, a.body.Code, ctx.Err())
			}
		default:
			return a, fmt.Errorf("%s: %d %s", url, a.status, a.body.Code)
		}
	}
	return answer{}, errors.New("asked for work, or to wait, too often")
}

// connect is what a page does to be connected, from an address.
func connect(ctx context.Context, base string, from netip.Addr) error {
	s := newSource(from)
	defer s.close()
	session, err := s.patiently(ctx, base+"/api/sessions", "")
	if err != nil {
		return err
	}
	endpoint, err := s.patiently(ctx, base+"/api/negotiate", session.body.Grant)
	if err != nil {
		return err
	}
	path, query, _ := strings.Cut(endpoint.body.URL, "?")
	n, err := s.patiently(ctx, strings.TrimRight(path, "/")+"/negotiate?"+query+"&negotiateVersion=1", endpoint.body.AccessToken)
	if err != nil {
		return err
	}
	url := "ws" + strings.TrimPrefix(endpoint.body.URL, "http") + "&id=" + n.body.ConnectionToken + "&access_token=" + endpoint.body.AccessToken
	return handshake(ctx, url, from)
}

// handshake opens a WebSocket and waits until the hub has said that it is one of its connections.
func handshake(ctx context.Context, url string, from netip.Addr) error {
	d := ws.Dialer{NetDial: dialer(from).DialContext}
	c, early, _, err := d.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if err := wsutil.WriteClientText(c, []byte("{\"protocol\":\"json\",\"version\":1}\x1e")); err != nil {
		return err
	}
	var in io.ReadWriter = c
	if early != nil {
		in = struct {
			io.Reader
			io.Writer
		}{early, c}
	}
	b, err := wsutil.ReadServerText(in)
	if err == nil && !bytes.HasPrefix(b, []byte("{}\x1e")) {
		err = fmt.Errorf("the hub's handshake: %q", b)
	}
	return err
}

// challenge is one that the attack was given.
type challenge struct {
	from netip.Addr
	text string
}

func (c challenge) solve(ctx context.Context) (string, error) { return work.Solve(ctx, c.text) }

// ask is one request of the attack.
func (d *drive) ask(ctx context.Context, from netip.Addr, solution string) {
	a, err := d.from(from).post(ctx, d.cfg.Base+"/api/sessions", "", solution)
	d.note(func(r *Result) {
		switch r.Asked++; {
		case err != nil:
			r.Broken++
		case a.status < 300:
			r.Served++
		default:
			r.Refused++
		}
	})
	if a.body.Work != "" && d.cfg.Solvers > 0 {
		select {
		case d.challenges <- challenge{from, a.body.Work}:
		default: // it has more than it can solve
		}
	}
}

// from is the client with an address of the attack.
func (d *drive) from(addr netip.Addr) *source {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[addr]
	if s == nil {
		if d.sources == nil {
			d.sources = map[netip.Addr]*source{}
		}
		s = newSource(addr)
		d.sources[addr] = s
	}
	return s
}

func (d *drive) close() {
	for _, s := range d.sources {
		s.close()
	}
}
