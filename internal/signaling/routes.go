package signaling

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/ice"
	"causeway/internal/realtime"
	"causeway/internal/token"
)

// maxBody is the limit of a request body in bytes (docs/protocol.md §2).
const maxBody = 16 << 10

// maxAccess is the longest life of an access token. The connection outlives it;
// the client asks for another one when it reconnects.
const maxAccess = time.Hour

// Routes adds the HTTP interface to mux.
func (s *Signaling) Routes(mux *http.ServeMux) {
	for pattern, f := range map[string]httpx.HandlerFunc{
		"POST /api/sessions":      Counted(s.cfg.Stats, s.create, s.cfg.Stats.SessionCreated),
		"POST /api/sessions/join": Counted(s.cfg.Stats, s.join, s.cfg.Stats.Joined),
		"POST /api/ice":           Counted(s.cfg.Stats, s.ice, func() {}),
		"POST /api/negotiate":     Counted(s.cfg.Stats, s.negotiate, s.cfg.Stats.Negotiated),
	} {
		mux.Handle(pattern, httpx.Handler(s.cfg.Logger, f))
	}
	if len(s.cfg.Regions.All) > 0 {
		mux.Handle("GET /api/regions", httpx.Handler(s.cfg.Logger, s.cfg.Regions.List()))
	}
	mux.Handle("/api/", httpx.Handler(s.cfg.Logger, func(http.ResponseWriter, *http.Request) error {
		return &httpx.Error{Status: http.StatusNotFound, Code: "unknown_request", Message: "There is no such request."}
	}))
}

// granted is the part of an answer that all roles get.
type granted struct {
	Session string     `json:"session"`
	Peer    string     `json:"peer"`
	Role    token.Role `json:"role"`
	Grant   string     `json:"grant"`
	Seats   int        `json:"seats"`   // how many receivers a host admits, or members a room has
	Expires int64      `json:"expires"` // Unix seconds
	Regions []Region   `json:"regions,omitempty"`
}

func (s *Signaling) grant(session string, role token.Role, home int, expires time.Time) (granted, error) {
	regions := s.cfg.Regions.from(home)
	g := token.Grant{Session: session, Peer: token.NewPeer(), Role: role, Regions: names(regions), Expires: expires}
	text, err := s.cfg.Signer.SignGrant(g)
	if err != nil {
		return granted{}, err
	}
	seats := s.cfg.Seats
	if role == token.Member {
		seats = s.cfg.Members
	}
	return granted{Session: session, Peer: g.Peer, Role: role, Grant: text, Seats: seats, Expires: expires.Unix(), Regions: regions}, nil
}

func (s *Signaling) create(w http.ResponseWriter, r *http.Request) error {
	if err := s.admitRequest(r, guard.Create, ""); err != nil { // before anything is read
		return err
	}
	var body struct {
		Kind string `json:"kind"`
	}
	if err := httpx.ReadJSON(w, r, maxBody, &body); err != nil {
		return err
	}
	kind, err := parseKind(body.Kind)
	if err != nil {
		return err
	}
	expires := s.cfg.Now().Add(s.cfg.Lifetime).Truncate(time.Second)
	maker, _ := kind.Roles()
	home := s.cfg.Regions.home()
	g, err := s.grant(token.NewSession(), maker, home, expires)
	if err != nil {
		return err
	}
	invite, err := s.cfg.Signer.SignInvite(token.Invite{Session: g.Session, Kind: kind, Home: home, Expires: expires})
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusCreated, struct {
		granted
		Invite string `json:"invite"`
		Base   string `json:"base"`
	}{g, invite, s.cfg.LinkBase(r)})
}

// parseKind reads the kind of session that a request is about; a transfer if it says none.
func parseKind(text string) (token.Kind, error) {
	switch text {
	case "", "transfer":
		return token.Transfer, nil
	case "room":
		return token.Room, nil
	}
	return 0, &httpx.Error{Status: http.StatusBadRequest, Code: "bad_request", Message: `"kind" is neither "transfer" nor "room".`}
}

func (s *Signaling) join(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Invite string `json:"invite"`
		Kind   string `json:"kind"`
	}
	if err := httpx.ReadJSON(w, r, maxBody, &body); err != nil {
		return err
	}
	kind, err := parseKind(body.Kind)
	if err != nil {
		return err
	}
	invite, err := s.cfg.Signer.Invite(body.Invite, s.cfg.Now())
	if err := s.admitJoin(r, invite.Session, err); err != nil {
		return err
	}
	switch {
	case errors.Is(err, token.ErrExpired):
		return &httpx.Error{Status: http.StatusGone, Code: "expired_link", Message: "This link has expired. Ask the sender for a new one.", Err: err}
	case err != nil:
		return &httpx.Error{Status: http.StatusNotFound, Code: "unknown_link", Message: "This link is not known here. Check that it was copied whole.", Err: err}
	}
	if invite.Kind != kind {
		return &httpx.Error{Status: http.StatusConflict, Code: "other_kind", Message: "This link is for another page: links to chats open at /chat, links to files at /."}
	}
	_, joiner := kind.Roles()
	g, err := s.grant(invite.Session, joiner, invite.Home, invite.Expires)
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, g)
}

func (s *Signaling) ice(w http.ResponseWriter, r *http.Request) error {
	g, err := s.bearer(r)
	if err != nil {
		return err
	}
	if err := s.admitRequest(r, guard.Lookup, g.Session); err != nil {
		return err
	}
	servers := s.cfg.ICE()
	if servers == nil {
		servers = []ice.Server{}
	}
	return httpx.WriteJSON(w, http.StatusOK, struct {
		ICEServers []ice.Server `json:"iceServers"`
	}{servers})
}

func (s *Signaling) negotiate(w http.ResponseWriter, r *http.Request) error {
	g, err := s.bearer(r)
	if err != nil {
		return err
	}
	if err := s.admitRequest(r, guard.Negotiate, g.Session); err != nil {
		return err
	}
	claims := map[string]string{claimSession: g.Session, claimPeer: g.Peer, claimRole: string(g.Role)}
	if a := s.cfg.ClientAddr(r).Unmap(); a.IsGlobalUnicast() && !a.IsPrivate() {
		claims[claimAddr] = a.String() // in the member's own token
	}
	endpoint, err := s.cfg.Realtime.Negotiate(r.Context(), realtime.Claims{
		User:     User(g.Session, g.Peer),
		Custom:   claims,
		Lifetime: min(maxAccess, g.Expires.Sub(s.cfg.Now())),
		Origin:   s.cfg.Origin(r),
	})
	if err != nil {
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, endpoint)
}

// Holder returns the grant in the Authorization header of a request to somebody else; an error is
// for the client.
func (s *Signaling) Holder(r *http.Request) (token.Grant, error) { return s.bearer(r) }

// bearer returns the grant in the Authorization header.
func (s *Signaling) bearer(r *http.Request) (token.Grant, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		text = ""
	}
	g, err := s.cfg.Signer.Grant(strings.TrimSpace(text), s.cfg.Now())
	if err != nil {
		if err := s.admitRequest(r, guard.Lookup, ""); err != nil { // who guesses does so slowly
			return token.Grant{}, err
		}
		return token.Grant{}, &httpx.Error{Status: http.StatusUnauthorized, Code: "bad_grant", Message: "The session has ended. Open the page again.", Err: err}
	}
	return g, nil
}
