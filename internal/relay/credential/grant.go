package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// The second form names a grant, and carries no right by itself:
//
//	username = <unix time of expiry> ":v1." base64url(key id of the node (2 bytes) | grant id (12 bytes))
//	password = base64url(HMAC-SHA256(key of the node, "turn-cred/v1" | username | realm))[:32]
//
// The leading time keeps tools for TURN REST working; what decides is the grant. A
// node's key mints nothing for another node.
const (
	grantMark  = "v1."
	grantBytes = 12
	kidBytes   = 2
	passLength = 32
)

// GrantIDSize is the length of a grant's id: 12 random bytes in base64url.
const GrantIDSize = 16

// MintGrant makes the credential for the grant id at the node that has key, which is
// known as kid. It fails with ErrUsername if id is not a grant's id.
func MintGrant(key []byte, kid uint16, id, realm string, expires time.Time) (username, password string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != grantBytes || len(id) != GrantIDSize {
		return "", "", ErrUsername
	}
	name := append(binary.BigEndian.AppendUint16(nil, kid), raw...)
	username = strconv.FormatInt(expires.Unix(), 10) + ":" + grantMark + base64.RawURLEncoding.EncodeToString(name)
	return username, GrantPassword(key, username, realm), nil
}

// GrantPassword is the password that goes with username under key.
func GrantPassword(key []byte, username, realm string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("turn-cred/v1"))
	mac.Write([]byte(username))
	mac.Write([]byte(realm))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:passLength]
}

// ParseGrant takes a username that names a grant apart. The error is ErrUsername.
func ParseGrant(username string) (kid uint16, id string, expires time.Time, err error) {
	expires, name, err := Parse(username)
	if err != nil {
		return 0, "", time.Time{}, err
	}
	text, ok := strings.CutPrefix(name, grantMark)
	if !ok {
		return 0, "", time.Time{}, ErrUsername
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != kidBytes+grantBytes {
		return 0, "", time.Time{}, ErrUsername
	}
	return binary.BigEndian.Uint16(raw), base64.RawURLEncoding.EncodeToString(raw[kidBytes:]), expires, nil
}
