package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"causeway/internal/httpx"
)

const (
	callTimeout = 5 * time.Second
	maxBody     = 64 << 10
	maxBulk     = 1 << 20
)

// CheckURL tells what is wrong with the address of a node or a control plane: it is an https
// origin, or an http one on loopback.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q is not an origin such as https://relay.example.org", text)
	case u.Scheme == "https", u.Scheme == "http" && httpx.IsLoopbackHost(u.Host):
		return nil
	}
	return fmt.Errorf("%q: want https; http is for loopback only", text)
}

// caller sends one direction's requests.
type caller struct {
	base      string
	key       Key
	direction string
	http      *http.Client
}

func newCaller(base string, key Key, direction string, transport http.RoundTripper) (caller, error) {
	if err := CheckURL(base); err != nil {
		return caller{}, err
	}
	if key.name == "" {
		return caller{}, errors.New("no node key")
	}
	if transport == nil {
		transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: callTimeout, KeepAlive: callTimeout}).DialContext,
			TLSHandshakeTimeout: callTimeout, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		}
	}
	// No redirect is followed: the token is for one place.
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return caller{strings.TrimRight(base, "/") + Prefix, key, direction, &http.Client{Transport: transport, CheckRedirect: refuse}}, nil
}

// refused is an answer that is no success.
type refused struct {
	status int
	code   string
}

func (r *refused) Error() string { return fmt.Sprintf("the answer is %d %q", r.status, r.code) }

// Unwrap makes the codes errors.
func (r *refused) Unwrap() error {
	switch r.code {
	case codeUnknown:
		return ErrUnknown
	case codeSpent:
		return ErrSpent
	case codeShort:
		return ErrShort
	case codeAway:
		return ErrAway
	case codeDenied:
		return ErrDenied
	}
	return nil
}

// call sends body as JSON (nil: none), and reads the answer (nil: none).
func (c caller) call(ctx context.Context, method, path string, body, answer any) error {
	bearer, err := c.key.sign(c.direction)
	if err != nil {
		return err
	}
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBulk))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		r := &refused{status: resp.StatusCode}
		var e struct{ Code string }
		if json.Unmarshal(b, &e) == nil && len(e.Code) <= maxName {
			r.code = e.Code
		}
		return r
	}
	if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
	return nil
}

// Client calls a node. It keeps nothing between calls but connections, and needs nothing but the
// node's URL and its key, which any process that has the signing key derives (NewKey). It is safe for concurrent use.
type Client struct{ caller }

// NewClient checks the URL. transport may be nil.
func NewClient(base string, key Key, transport http.RoundTripper) (*Client, error) {
	c, err := newCaller(base, key, toNode, transport)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", key.name, err)
	}
	return &Client{c}, nil
}

// Key is the node's.
func (c *Client) Key() Key { return c.key }

// Put makes a grant, or replaces it. ErrSpent and ErrAway are answers to reckon with.
func (c *Client) Put(ctx context.Context, id string, g Grant) (p Placed, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.call(ctx, http.MethodPut, "grants/"+url.PathEscape(id), g, &p); err != nil {
		return Placed{}, fmt.Errorf("put grant at node %s: %w", c.key.name, err)
	}
	return p, nil
}

// Change renews and deletes grants, and returns those that were to be renewed and are not
// there.
func (c *Client) Change(ctx context.Context, changes Changes) (gone []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var a Changed
	if err := c.call(ctx, http.MethodPost, "grants", changes, &a); err != nil {
		return nil, fmt.Errorf("change grants at node %s: %w", c.key.name, err)
	}
	return a.Gone, nil
}

// Declare says what a grant is for, when that was not known as it was put; ErrShort (wrapped) if that is not there. Only
// nodes that keep their own books ask.
func (c *Client) Declare(ctx context.Context, id string, bytes int64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var a Changed
	if err := c.call(ctx, http.MethodPost, "grants", Changes{Renew: []Renewal{{ID: id, Bytes: bytes}}}, &a); err != nil {
		return fmt.Errorf("declare at node %s: %w", c.key.name, err)
	}
	if len(a.Short) > 0 {
		return fmt.Errorf("declare at node %s: %w", c.key.name, ErrShort)
	}
	return nil
}

// Delete ends a grant, with its data path. One that is gone is no error.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, err := c.Change(ctx, Changes{Delete: []string{id}})
	return err
}

// Status asks the node.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.call(ctx, http.MethodGet, "status", nil, &s); err != nil {
		return Status{}, fmt.Errorf("status of node %s: %w", c.key.name, err)
	}
	return s, nil
}
