// Package azure runs an application over Azure SignalR Service in Serverless
// mode, or over anything that speaks like it, our own package rest included,
// whose mirror this package is:
//
//	application ──▶ Client ──HTTP──▶ service      the data plane (spec §4)
//	application ◀── Upstream ◀──HTTP── service    webhooks (spec §5)
//
// Client signs each request with the access key, for exactly that request's
// path, or shows a token of its identity where the connection string has no key. It repeats nothing: a request that failed may have been carried out, and
// the contract is at most once. What only our service has (counting, and listing
// what is no group) fails elsewhere with an error that wraps
// errors.ErrUnsupported.
//
// Upstream trusts a request whose X-ASRS-Signature was made with an access key.
// The signature covers the connection's id only, neither body nor time: it is
// as good as a password, and so the endpoint belongs behind TLS. Where the service has an
// identity, its token is asked for, too, and where there is no access key, instead.
package azure

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

	"causeway/internal/entra"
	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
)

// defaultVersion is what the current official SDK asks for.
const defaultVersion = "2024-12-01"

// ClientConfig configures a Client. Connection and Hub are required.
type ClientConfig struct {
	// Connection says where the service is and by which key. It is called for each
	// request, so that a key can be replaced.
	Connection func() accesskey.ConnectionString
	// Token of an identity for Scope, where the connection string has no key. It is called for
	// each request, and so must not ask the issuer each time.
	Token func(context.Context) (string, error)
	// Hub and, if the service is shared, Application; they become one name.
	Hub, Application string
	// APIVersion; empty means 2024-12-01.
	APIVersion string
	// Timeout of a request; 0 means 30 s. That of Invoke is 100 s.
	Timeout time.Duration
	// Transport; nil means one of the client's own, which keeps as many connections
	// as calls run at a time.
	Transport http.RoundTripper
}

// Client is a realtime.Service over the REST data plane.
type Client struct {
	cfg       ClientConfig
	http      *http.Client
	temporary *entra.Tokens // see clientKey
}

var (
	_ realtime.Service    = (*Client)(nil)
	_ realtime.UserGroups = (*Client)(nil)
	_ realtime.Presence   = (*Client)(nil)
	_ realtime.Closer     = (*Client)(nil)
	_ realtime.Invoker    = (*Client)(nil)
	_ realtime.RawSender  = (*Client)(nil)
)

// invokeTimeout is longer than any service waits for a client.
const invokeTimeout = 100 * time.Second

// NewClient checks cfg and makes a Client.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Connection == nil || cfg.Hub == "" {
		return nil, errors.New("azure client: Connection and Hub are required")
	}
	if c := cfg.Connection(); c.Key.IsZero() && cfg.Token == nil {
		return nil, errors.New("azure client: the connection string has no AccessKey, and there is no identity")
	}
	if cfg.APIVersion == "" {
		cfg.APIVersion = defaultVersion
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = NewTransport()
	}
	cfg.Hub, cfg.Application = strings.ToLower(cfg.Hub), strings.ToLower(cfg.Application)
	c := &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token is for one URL
	}
	client := &Client{cfg: cfg, http: c}
	client.temporary = entra.NewTokens(client.fetchKey)
	return client, nil
}

// maxIdle connections to the service are kept. Two, as http.DefaultTransport has
// it, would make most concurrent calls begin with a handshake.
const maxIdle = 256

// NewTransport returns what a Client has by default.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
	}
}

// Close ends the idle connections to the service. Calls that are under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Negotiate signs a client's token; the service is asked only for a key, about once an hour,
// if there is none.
func (c *Client) Negotiate(ctx context.Context, claims realtime.Claims) (realtime.Endpoint, error) {
	conn := c.cfg.Connection()
	key, id, err := c.clientKey(ctx)
	if err != nil {
		return realtime.Endpoint{}, fmt.Errorf("negotiate: %w", err)
	}
	hub := c.cfg.Hub
	if c.cfg.Application != "" {
		hub = c.cfg.Application + "_" + hub
	}
	token, err := accesskey.SignClientAs(key, id, conn.Endpoint, hub, claims)
	if err != nil {
		return realtime.Endpoint{}, fmt.Errorf("negotiate: %w", err)
	}
	address := conn.Endpoint
	if conn.ClientEndpoint != "" {
		address = conn.ClientEndpoint
	}
	return realtime.Endpoint{URL: address + "/client/?hub=" + url.QueryEscape(hub), AccessToken: token}, nil
}

// StatusError is an answer of the service that is neither success nor one of the
// contract's errors.
type StatusError struct {
	Status  int
	Code    string // of x-ms-error-code, or of the body; may be empty
	Message string // of the body; may be empty
}

// Error says what the service said, and what that mostly means.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("the service answered with status %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += " (" + e.Message + ")"
	}
	switch e.Status {
	case http.StatusUnauthorized:
		text += ": is the access key current, and the Endpoint the one that the service knows? An identity needs the role SignalR Service Owner."
	case http.StatusTooManyRequests:
		text += ": its quota is used up"
	}
	return text
}

// Is lets errors.Is find ErrUnsupported where the service lacks an operation.
func (e *StatusError) Is(target error) bool {
	return target == errors.ErrUnsupported && (e.Status == http.StatusNotImplemented || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotFound && e.Code == "")
}

// request is one call of the data plane.
type request struct {
	method  string
	whole   string   // the path, if it is not below the hub
	path    []string // segments after the hub's, not escaped
	query   url.Values
	kind    string // of the body
	body    []byte
	timeout time.Duration
}

// maxAnswer bounds the body of an answer. A client's result may be as long as a
// message.
const maxAnswer = 16 << 20

// call makes a request and returns the answer's body, or a *StatusError.
func (c *Client) call(ctx context.Context, r request) ([]byte, error) {
	if r.timeout == 0 {
		r.timeout = c.cfg.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	out, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(out)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text would hold the URL, and so users' and groups' names
			err = u.Err
		}
		return nil, fmt.Errorf("call the service: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the service's answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("read the service's answer: more than %d bytes", maxAnswer)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, statusError(response, body)
	}
	return body, nil
}

func (c *Client) request(ctx context.Context, r request) (*http.Request, error) {
	conn := c.cfg.Connection()
	var path strings.Builder
	query := url.Values{}
	if path.WriteString(r.whole); r.whole == "" {
		path.WriteString("/api/hubs/" + segment(c.cfg.Hub))
		for _, s := range r.path {
			path.WriteString("/" + segment(s))
		}
		query.Set("api-version", c.cfg.APIVersion)
		if c.cfg.Application != "" {
			query.Set("application", c.cfg.Application)
		}
	}
	for name, values := range r.query {
		query[name] = values
	}
	server := conn.Endpoint
	if conn.ServerEndpoint != "" {
		server = conn.ServerEndpoint
	}
	token, err := c.token(ctx, conn, conn.Endpoint+path.String())
	if err != nil {
		return nil, err
	}
	out, err := http.NewRequestWithContext(ctx, r.method, server+path.String()+"?"+query.Encode(), bytes.NewReader(r.body))
	if err != nil {
		return nil, errors.New("make the request: the endpoint is not a URL")
	}
	out.Header.Set("Authorization", "Bearer "+token)
	if r.kind != "" {
		out.Header.Set("Content-Type", r.kind)
	}
	return out, nil
}

// token is what a request shows.
func (c *Client) token(ctx context.Context, conn accesskey.ConnectionString, address string) (string, error) {
	if !conn.Key.IsZero() {
		return accesskey.SignREST(conn.Key, address)
	}
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("token of the identity: %w", err)
	}
	return token, nil
}

// segment escapes a segment of a path. A group may be called "." or ".."; as a
// segment these would be resolved on the way if they were not escaped.
func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return strings.ReplaceAll(url.PathEscape(s), "%3A", ":") // operations begin with a colon
}

func statusError(response *http.Response, body []byte) error {
	e := &StatusError{Status: response.StatusCode, Code: response.Header.Get("x-ms-error-code")}
	var detail struct{ Code, Message string }
	if json.Unmarshal(body, &detail) == nil {
		e.Message = detail.Message
		if e.Code == "" && response.StatusCode != http.StatusNotFound { // see Is
			e.Code = detail.Code
		}
	}
	return e
}

// isMissing says whether err is a 404 that means that a thing does not exist,
// rather than the endpoint.
func isMissing(err error) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status == http.StatusNotFound && (strings.HasPrefix(e.Code, "Warning.") || strings.HasPrefix(e.Code, "Error.") || strings.HasPrefix(e.Code, "Info."))
}
