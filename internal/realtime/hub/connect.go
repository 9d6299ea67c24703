package hub

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/hub/offer"
	"causeway/internal/realtime/hub/query"
	"causeway/internal/realtime/hub/replay"

	"github.com/gobwas/ws"
)

// maxConnect bounds the query of a client's request; Azure's limit for the URI is 12 KB.
const maxConnect = 12 << 10

// Handler serves /client, /client/ and /client/negotiate, with any number of
// slashes between. (http.ServeMux redirects requests for unclean paths, which
// clients do not follow: put the handler before it.)
func (h *Hub) Handler() http.Handler { return http.HandlerFunc(h.serve) }

// Quick says whether a request is one that Handler answers without waiting or reading a
// body: negotiate, and a WebSocket's beginning. See package front.
func Quick(head []byte) bool {
	return bytes.HasPrefix(head, []byte("POST /client/negotiate?")) ||
		bytes.HasPrefix(head, []byte("GET /client")) && bytes.Contains(head, []byte("\r\nUpgrade: websocket\r\n"))
}

// refusal is an answer to a request that is not served.
type refusal struct {
	status int
	text   string
	label  string // in metrics; empty is "request"
	retry  time.Duration
}

func (e *refusal) Error() string { return e.text }

func (h *Hub) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' })
	if len(path) == 0 || path[0] != "client" || len(path) > 2 || len(path) == 2 && path[1] != "negotiate" {
		http.NotFound(w, r)
		return
	}
	if h.cors(w, r) {
		return
	}
	var err error
	if len(path) == 2 {
		err = h.negotiate(w, r)
	} else {
		err = h.connect(w, r)
	}
	if err == nil {
		return
	}
	var no *refusal
	if !errors.As(err, &no) {
		no = &refusal{status: http.StatusInternalServerError, text: "internal error"}
		h.cfg.Logger.Error("request failed", "err", err)
	}
	if no.label == "" {
		no.label = "request"
	}
	h.metrics.refused.WithLabelValues(no.label).Inc()
	if no.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if no.status == http.StatusTooManyRequests || no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds(max(no.retry, 2*time.Second)))))
	}
	http.Error(w, no.text, no.status)
}

// request is a client's request after the checks that all requests pass.
type request struct {
	query query.Query
	space *space
	who   identity
}

func (h *Hub) authorize(r *http.Request) (request, error) {
	var req request
	var err error
	if len(r.URL.RawQuery) > maxConnect {
		return req, &refusal{status: http.StatusRequestURITooLong, text: "query too long"}
	}
	if req.query, err = query.Parse(r.URL.RawQuery); err != nil {
		return req, &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	if !realtime.IsHubName(req.query.Hub) {
		return req, &refusal{status: http.StatusBadRequest, text: "invalid hub name"}
	}
	token := req.query.Token
	if a := r.Header.Get("Authorization"); a != "" {
		scheme, value, _ := strings.Cut(a, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			value = ""
		}
		token = strings.TrimSpace(value)
	}
	if who := h.known(&req.query, token); who != nil {
		req.who = *who
	} else if req.who, err = h.authenticate(token, req.query.Hub); err != nil {
		return req, &refusal{status: http.StatusUnauthorized, text: "invalid or expired access token", label: "token"}
	}
	if req.space = h.space(req.query.Hub); req.space == nil {
		return req, &refusal{status: http.StatusNotFound, text: "no such hub"}
	}
	return req, nil
}

// known is the identity that the same token has shown moments ago, in negotiate;
// it saves half of the cryptography of connecting.
func (h *Hub) known(q *query.Query, token string) *identity {
	c := h.find(q.ID)
	if c == nil || c.space.name != q.Hub {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if who := c.proof; who != nil && subtle.ConstantTimeCompare([]byte(who.token), []byte(token)) == 1 && time.Now().Before(who.expires) {
		return who
	}
	return nil
}

// find is the connection with a token; nil if there is none.
func (h *Hub) find(token string) *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns[token]
}

// reserve makes a connection, which takes its place among the limits at once.
func (h *Hub) reserve(r *http.Request, req *request) (*conn, error) {
	c := &conn{hub: h, space: req.space, token: randomID(), addr: h.cfg.ClientAddr(r)}
	if h.cfg.Admit != nil {
		if status, text, retry := h.cfg.Admit(c.addr, req.who.user); status != 0 {
			return nil, &refusal{status, text, "admission", retry}
		}
	}
	c.info = realtime.Connection{ID: randomID(), Hub: req.space.name}
	c.proof = &req.who
	if h.cfg.Node != "" {
		c.info.ID += "." + h.cfg.Node
	}
	c.clock.deadline.Store(h.after(h.cfg.Timing.Attach))
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, &refusal{http.StatusServiceUnavailable, "the server is starting or stopping", "draining", 0}
	case len(h.conns) >= h.cfg.Limits.Connections:
		return nil, &refusal{http.StatusTooManyRequests, "too many connections", "connections", 0}
	case h.addrs[c.addr] >= h.cfg.Limits.PerAddress:
		return nil, &refusal{http.StatusTooManyRequests, "too many connections from this address", "address", 0}
	}
	h.conns[c.token] = c
	h.addrs[c.addr]++
	h.burst.count(h.now())
	h.metrics.connections.Inc()
	return c, nil
}

// randomID makes an unguessable id that needs no escaping in URLs.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// allows says whether the token permits a transport (asrs.s.htt).
func (id *identity) allows(t offer.Transports) bool {
	return id.transports == 0 || id.transports&t != 0
}

// negotiate answers POST /client/negotiate (§1.3).
func (h *Hub) negotiate(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		return &refusal{status: http.StatusMethodNotAllowed, text: "method not allowed"}
	}
	_, _ = io.CopyN(io.Discard, r.Body, 4096) // clients send none; keeps the connection usable
	req, err := h.authorize(r)
	if err != nil {
		return err
	}
	version := 0
	if v := req.query.Version; v != "" {
		if version, err = strconv.Atoi(v); err != nil {
			return writeJSON(w, []byte(`{"error":"The client requested a non-integer protocol version."}`))
		}
	}
	c, err := h.reserve(r, &req)
	if err != nil {
		return err
	}
	o := offer.Offer{Version: min(max(version, 0), 1), ID: c.info.ID, Transports: offer.All}
	if o.Version == 0 {
		// The public id is the only one that such a client knows.
		h.rename(c, c.info.ID)
	} else {
		o.Token = c.token
	}
	if req.who.transports != 0 {
		o.Transports = req.who.transports
	}
	if req.query.Resume && req.who.allows(offer.WebSockets) && h.cfg.Limits.ResumeBytes > 0 {
		o.Resume = true
		c.mu.Lock()
		c.resume = &replay.Log{}
		c.mu.Unlock()
	}
	return writeJSON(w, o.JSON())
}

func (h *Hub) rename(c *conn, token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c.token)
	c.token = token
	h.conns[token] = c
}

func writeJSON(w http.ResponseWriter, b []byte) error {
	hd := w.Header()
	hd.Set("Content-Type", "application/json")
	hd.Set("Cache-Control", "no-store")
	hd.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the client has left
	return nil
}

// connect serves the transports at /client/ (§2.1).
func (h *Hub) connect(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodDelete:
	default:
		w.Header().Set("Allow", "GET, POST, DELETE, OPTIONS")
		return &refusal{status: http.StatusMethodNotAllowed, text: "method not allowed"}
	}
	req, err := h.authorize(r)
	if err != nil {
		// A client that comes back within the window is known by its secret id;
		// its token was valid when it connected.
		if c := h.resumable(r); c != nil {
			return h.upgrade(w, r, c, nil)
		}
		return err
	}
	isWS := r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	if req.query.ID == "" {
		if !isWS {
			return &refusal{status: http.StatusBadRequest, text: "Connection ID required"}
		}
		if !req.who.allows(offer.WebSockets) {
			return &refusal{status: http.StatusNotFound, text: "transport disabled"}
		}
		c, err := h.reserve(r, &req)
		if err != nil {
			return err
		}
		if err := h.upgrade(w, r, c, &req); err != nil {
			c.close(ReasonNeverCame, "")
			return err
		}
		return nil
	}
	c := h.find(req.query.ID)
	if c == nil || c.space != req.space {
		return &refusal{status: http.StatusNotFound, text: "No Connection with that ID"}
	}
	switch {
	case isWS:
		return h.upgrade(w, r, c, &req)
	case r.Method == http.MethodPost:
		return c.post(w, r)
	case r.Method == http.MethodDelete:
		return c.delete(w)
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		return c.serveEvents(w, r, &req)
	default:
		return c.poll(w, r, &req)
	}
}

// resumable finds the connection that a WebSocket request with an expired token
// wants to resume.
func (h *Hub) resumable(r *http.Request) *conn {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil || q.ID == "" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return nil
	}
	c := h.find(q.ID)
	if c == nil || c.space.name != q.Hub {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != open || c.resume == nil {
		return nil
	}
	return c
}

// attach gives a connection its link, or says why not. It returns the link that
// was superseded.
func (c *conn) attach(l link, t transport, req *request) (old link, err error) {
	if req != nil && !req.who.allows(t.offered()) {
		return nil, &refusal{status: http.StatusNotFound, text: "transport disabled"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state >= closing:
		return nil, &refusal{status: http.StatusNotFound, text: "No Connection with that ID"}
	case c.state == negotiated && req != nil:
	case c.transport != t:
		return nil, &refusal{status: http.StatusBadRequest, text: "Cannot change transports mid-connection"}
	case c.state == open && c.resume != nil && (req == nil || req.who.user == c.info.User):
		return c.reattach(l)
	default:
		return nil, &refusal{status: http.StatusConflict, text: "the connection has a transport already"}
	}
	c.state, c.transport, c.link = handshaking, t, l
	c.out.writing = true // until the link is ready
	if t != webSockets {
		c.resume = nil
	}
	c.proof = nil
	c.info.User, c.info.Claims = strings.Clone(req.who.user), req.who.claims
	c.info.Query = strings.Clone(req.query.Rest)
	c.detailed = req.who.detailed
	patience := c.hub.cfg.Timing.Handshake
	if req.who.handshake > 0 {
		patience = time.Duration(req.who.handshake) * time.Second
	}
	gap := seconds(c.hub.cfg.Timing.PollGap)
	if req.who.gap > 0 {
		gap = uint32(req.who.gap)
	}
	c.clock.gap = uint16(gap)
	if req.who.closeAt > 0 {
		left := max(req.who.closeAt-time.Now().Unix(), 0)
		c.clock.expires = c.hub.now() + uint32(min(left, 1<<30)) + 1
	}
	c.clock.in.Store(c.hub.now())
	c.clock.out.Store(c.hub.now())
	c.clock.deadline.Store(c.hub.after(patience))
	return nil, nil
}

// reattach gives a connection another WebSocket, and queues what the client may
// have missed. The caller holds mu.
func (c *conn) reattach(l link) (old link, err error) {
	missed, err := c.resume.Replay(c.protocol)
	if err != nil {
		return nil, err
	}
	old, c.link = c.link, l
	c.resume.Detach()
	c.out.drop()
	c.out.writing = true // until the upgrade is answered
	for _, f := range missed {
		c.out.push(f)
	}
	c.clock.deadline.Store(0)
	c.clock.in.Store(c.hub.now())
	c.clock.out.Store(c.hub.now())
	return old, nil
}

// upgrade makes a WebSocket of the request. The connection leaves net/http, whose
// goroutine and buffers are free when this returns.
func (h *Hub) upgrade(w http.ResponseWriter, r *http.Request, c *conn, req *request) error {
	l := &wsLink{c: c}
	old, err := c.attach(l, webSockets, req)
	if err != nil {
		return err
	}
	if old != nil {
		old.abort()
	}
	nc, rw, _, err := ws.HTTPUpgrader{Timeout: h.cfg.Timing.Write}.Upgrade(r, w)
	if err != nil {
		if nc != nil { // Upgrade has answered
			_ = nc.Close()
		}
		c.ended(l, ReasonDropped, false)
		return nil
	}
	l.open(nc, rw.Reader)
	return nil
}
