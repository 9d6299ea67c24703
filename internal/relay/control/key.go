package control

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"causeway/internal/secret"
	"causeway/internal/token"
)

// Key is a node's key, which control plane and node share. The zero Key is none.
type Key struct {
	name           string
	bytes          secret.Value
	to, from, turn secret.Value // derived
	kid            uint16
}

const (
	keyMark  = "cwnode1"
	maxName  = 32
	toNode   = "causeway/relay/v1/to-node"
	fromNode = "causeway/relay/v1/from-node"

	tokenLife  = 2 * time.Minute
	tokenSkew  = time.Minute
	maxBearing = 1024 // bytes of a token
)

// NewKey derives the key of the node called name from the signing key.
func NewKey(signing []byte, name string) (Key, error) {
	if err := CheckName(name); err != nil {
		return Key{}, err
	}
	b, err := token.Derive(signing, "relay node "+name)
	if err != nil {
		return Key{}, fmt.Errorf("derive node key: %w", err)
	}
	return newKey(name, b)
}

func newKey(name string, b []byte) (Key, error) {
	k := Key{name: name, bytes: secret.New(string(b))}
	for what, to := range map[string]*secret.Value{toNode: &k.to, fromNode: &k.from, "turn": &k.turn} {
		d, err := token.Derive(b, what)
		if err != nil {
			return Key{}, err
		}
		*to = secret.New(string(d))
	}
	kid := sha256.Sum256([]byte(name))
	k.kid = binary.BigEndian.Uint16(kid[:])
	return k, nil
}

// CheckName tells whether a node can be called that: up to 32 of a-z, 0-9 and "-".
func CheckName(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
	if name == "" || len(name) > maxName || bad {
		return fmt.Errorf("%q is no name of a node: want up to %d of a-z, 0-9 and -", name, maxName)
	}
	return nil
}

// ParseKey is the reverse of Text. The error does not hold what was parsed.
func ParseKey(text string) (Key, error) {
	mark, rest, _ := strings.Cut(strings.TrimSpace(text), ".")
	name, code, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if mark != keyMark || CheckName(name) != nil || err != nil || len(b) != token.KeySize {
		return Key{}, errors.New("not a relay node's key")
	}
	return newKey(name, b)
}

// Text is the key as it is given to the node: a secret.
func (k Key) Text() string {
	return keyMark + "." + k.name + "." + base64.RawURLEncoding.EncodeToString([]byte(k.bytes.Reveal()))
}

// Name is the node's.
func (k Key) Name() string { return k.name }

// of is the key for tokens of a direction.
func (k Key) of(direction string) []byte {
	if direction == toNode {
		return []byte(k.to.Reveal())
	}
	return []byte(k.from.Reveal())
}

// TURN returns the key that credentials at the node are made with, and its number in them.
func (k Key) TURN() (key []byte, kid uint16) {
	return []byte(k.turn.Reveal()), k.kid
}

// sign makes a token for one direction.
func (k Key) sign(direction string) (string, error) {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Audience: jwt.ClaimStrings{direction}, Subject: k.name, ExpiresAt: jwt.NewNumericDate(time.Now().Add(tokenLife)),
	}).SignedString(k.of(direction))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text, nil
}

var errToken = errors.New("not a token for this")

// check verifies a token for one direction by the key of the node that it names, as find knows it.
func check(text, direction string, find func(name string) (Key, bool)) (name string, err error) {
	if len(text) > maxBearing {
		return "", errToken
	}
	var c jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) {
		k, ok := find(c.Subject)
		if !ok {
			return nil, errToken
		}
		return k.of(direction), nil
	}, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(direction), jwt.WithExpirationRequired(), jwt.WithLeeway(tokenSkew))
	if err != nil {
		return "", errToken
	}
	return c.Subject, nil
}
