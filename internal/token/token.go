// Package token makes and checks what the server signs: invites, grants, and
// the keys for both.
//
// Signaling keeps no state, so everything that a server has to know about a
// session later stands in a token that it signed: an invite says that a session
// exists and until when, a grant what one peer may do in it. Both survive a
// restart, because the one key that they are made from is kept in the data
// directory.
//
// An invite is part of a link that becomes a QR code, so it is 37 bytes of fixed
// layout (50 characters) where a JWT would need three times that. A grant travels
// in headers only and is a JWT. docs/protocol.md §5 has the formats.
package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Errors of Signer.Invite and Signer.Grant.
var (
	// ErrInvalid says that a token is malformed or not signed by this server.
	ErrInvalid = errors.New("not a token of this server")
	// ErrExpired says that a token is genuine and its time has passed.
	ErrExpired = errors.New("token has expired")
)

// Role says on which side of a session a peer stands.
type Role string

// The roles.
const (
	Host   Role = "host"   // made the session
	Guest  Role = "guest"  // joined by an invite
	Member Role = "member" // of a room, where all are equal
)

// Known reports whether r is one of the roles.
func (r Role) Known() bool { return r == Host || r == Guest || r == Member }

// Kind is what a session is for. Its values are those in the invite's first byte.
type Kind uint8

// The kinds; at most four bits.
const (
	Transfer Kind = 1 // a host sends files to guests
	Room     Kind = 2 // members talk
)

// Roles returns those of who makes a session of this kind and of who joins it.
func (k Kind) Roles() (maker, joiner Role) {
	if k == Room {
		return Member, Member
	}
	return Host, Guest
}

// Invite lets a peer join a session.
type Invite struct {
	Session string // base64url of 16 bytes, unpadded
	Kind    Kind
	Home    int // region that the session meets in, counted from 1; 0: it is not said
	Expires time.Time
}

// MaxRegions is how many regions an invite can tell apart.
const MaxRegions = 15

// homeShift is where the region stands in the first byte, beside the kind.
const homeShift = 4

// Grant is what one peer may do: take part in a session, under an id, in a role.
type Grant struct {
	Session string
	Peer    string // base64url of 8 bytes, unpadded
	Role    Role
	Regions []string // names of those that the session meets in, its home first; empty: there are none
	Expires time.Time
}

// Signer signs and checks tokens. It is safe for concurrent use.
type Signer struct {
	invite, grant []byte
}

// Sizes in bytes of the invite's parts.
const (
	sessionSize   = 16
	peerSize      = 8
	macSize       = 16
	inviteBody    = 1 + sessionSize + 4
	grantAudience = "causeway/grant"
)

// KeySize is the size of the key that New takes, in bytes.
const KeySize = 32

// New returns a Signer whose keys derive from key, which has KeySize bytes.
func New(key []byte) (*Signer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("signing key has %d bytes, want %d", len(key), KeySize)
	}
	s := &Signer{}
	for info, to := range map[string]*[]byte{"invite": &s.invite, "grant": &s.grant} {
		k, err := Derive(key, info)
		if err != nil {
			return nil, err
		}
		*to = k
	}
	return s, nil
}

// Derive returns the 32-byte key for one purpose (HKDF-SHA-256, RFC 5869).
func Derive(key []byte, purpose string) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "causeway/1 "+purpose, KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", purpose, err)
	}
	return k, nil
}

// NewSession returns the id of a new session.
func NewSession() string { return random(sessionSize) }

// NewPeer returns the id of a new peer.
func NewPeer() string { return random(peerSize) }

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// SignInvite returns the text of an invite; Expires counts in whole seconds.
func (s *Signer) SignInvite(i Invite) (string, error) {
	session, err := base64.RawURLEncoding.DecodeString(i.Session)
	if err != nil || len(session) != sessionSize {
		return "", fmt.Errorf("sign invite: session id is not %d bytes of base64url", sessionSize)
	}
	if i.Kind != Transfer && i.Kind != Room {
		return "", fmt.Errorf("sign invite: kind %d is not known", i.Kind)
	}
	if i.Home < 0 || i.Home > MaxRegions {
		return "", fmt.Errorf("sign invite: region %d is not 0 to %d", i.Home, MaxRegions)
	}
	b := make([]byte, 0, inviteBody+macSize)
	b = append(b, byte(i.Home<<homeShift)|byte(i.Kind))
	b = append(b, session...)
	b = binary.BigEndian.AppendUint32(b, uint32(i.Expires.Unix()))
	b = append(b, s.inviteMAC(b)...)
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Invite checks the text of an invite: ErrInvalid before ErrExpired.
func (s *Signer) Invite(text string, now time.Time) (Invite, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != inviteBody+macSize {
		return Invite{}, ErrInvalid
	}
	kind, home := Kind(b[0]&(1<<homeShift-1)), int(b[0]>>homeShift)
	if kind != Transfer && kind != Room {
		return Invite{}, ErrInvalid
	}
	if !hmac.Equal(b[inviteBody:], s.inviteMAC(b[:inviteBody])) {
		return Invite{}, ErrInvalid
	}
	i := Invite{
		Session: base64.RawURLEncoding.EncodeToString(b[1 : 1+sessionSize]),
		Kind:    kind,
		Home:    home,
		Expires: time.Unix(int64(binary.BigEndian.Uint32(b[1+sessionSize:])), 0),
	}
	if !now.Before(i.Expires) {
		return i, ErrExpired
	}
	return i, nil
}

func (s *Signer) inviteMAC(body []byte) []byte {
	m := hmac.New(sha256.New, s.invite)
	m.Write(body)
	return m.Sum(nil)[:macSize]
}

type grantClaims struct {
	Session string   `json:"sid"`
	Role    Role     `json:"role"`
	Regions []string `json:"rgn,omitempty"`
	jwt.RegisteredClaims
}

// SignGrant returns the text of a grant.
func (s *Signer) SignGrant(g Grant) (string, error) {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, grantClaims{
		Session: g.Session,
		Role:    g.Role,
		Regions: g.Regions,
		RegisteredClaims: jwt.RegisteredClaims{
			Audience:  jwt.ClaimStrings{grantAudience},
			Subject:   g.Peer,
			ExpiresAt: jwt.NewNumericDate(g.Expires),
		},
	}).SignedString(s.grant)
	if err != nil {
		return "", fmt.Errorf("sign grant: %w", err)
	}
	return text, nil
}

// Grant checks the text of a grant.
func (s *Signer) Grant(text string, now time.Time) (Grant, error) {
	var c grantClaims
	_, err := jwt.ParseWithClaims(text, &c,
		func(*jwt.Token) (any, error) { return s.grant, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithAudience(grantAudience),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Grant{}, ErrExpired
	case err != nil:
		return Grant{}, ErrInvalid
	}
	g := Grant{Session: c.Session, Peer: c.Subject, Role: c.Role, Regions: c.Regions, Expires: c.ExpiresAt.Time}
	if g.Session == "" || g.Peer == "" || !g.Role.Known() {
		return Grant{}, ErrInvalid
	}
	return g, nil
}
