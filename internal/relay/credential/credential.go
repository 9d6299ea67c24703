// Package credential makes and reads the short-lived TURN credentials that the
// relay accepts, in the form of draft-uberti-behave-turn-rest-00 (§2.2), which
// coturn calls use-auth-secret:
//
//	username = <unix time of expiry> ":" <holder>
//	password = base64(HMAC-SHA1(secret, username))
//
// Whoever mints and whoever verifies share only the secret, so credentials need
// no store. SHA-1 is what the form prescribes; as a MAC under a secret key it is
// not affected by the collisions known for SHA-1.
//
// The holder is the part that limits are counted by. Over UDP a username crosses
// the network in clear, so Mint derives the holder from the member's id by a keyed
// hash: equal for every credential of one member, meaningless to everybody else.
// It begins with an id of the secret, so that a verifier that knows several
// secrets, as during a rotation, finds the right one; usernames minted elsewhere
// need no such id and are verified with the first secret.
//
// The package depends on nothing but the standard library, so that those who only
// mint do not link a TURN server.
package credential

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	maxUsername = 128 // bytes; RFC 8489 §14.3 allows 508, nobody needs them
	keyIDLength = 6   // base64url characters, 36 bits
	memberBytes = 15  // 20 base64url characters
)

// ErrUsername says that a username is not of the form that this package mints.
var ErrUsername = errors.New("malformed turn username")

// Mint makes a credential for member that ends at expires (whole seconds, rounded
// down). The member's id does not appear in it.
func Mint(secret []byte, member string, expires time.Time) (username, password string) {
	username = strconv.FormatInt(expires.Unix(), 10) + ":" + holder(secret, member)
	return username, Password(secret, username)
}

// Password is the password that goes with username under secret.
func Password(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Parse takes a username apart. Without a colon the holder is empty. The error is
// ErrUsername.
func Parse(username string) (expires time.Time, holder string, err error) {
	if len(username) > maxUsername {
		return time.Time{}, "", ErrUsername
	}
	digits, holder, _ := strings.Cut(username, ":")
	if len(digits) == 0 || len(digits) > 12 {
		return time.Time{}, "", ErrUsername
	}
	// ParseUint takes no sign, no space and, in base 10, no underscore.
	unix, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return time.Time{}, "", ErrUsername
	}
	return time.Unix(int64(unix), 0), holder, nil
}

// Select returns the secret that holder was minted with, or the first one if the
// holder names none of them; nil if there are no secrets.
func Select(secrets [][]byte, holder string) []byte {
	for _, s := range secrets {
		if strings.HasPrefix(holder, keyID(s)) {
			return s
		}
	}
	if len(secrets) == 0 {
		return nil
	}
	return secrets[0]
}

func keyID(secret []byte) string {
	return derive(secret, "causeway turn key id")[:keyIDLength]
}

func holder(secret []byte, member string) string {
	return keyID(secret) + derive(secret, "causeway turn member\x00"+member)
}

func derive(secret []byte, label string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(label))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:memberBytes])
}
