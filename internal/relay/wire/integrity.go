package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"

	"github.com/pion/stun/v4"
)

// Key is the key of long-term credentials (RFC 8489 §9.2.2).
type Key [md5.Size]byte

// LongTermKey derives the key of a username and its password.
func LongTermKey(username, realm, password string) Key {
	return md5.Sum([]byte(username + ":" + realm + ":" + password))
}

// Authentic tells whether the MESSAGE-INTEGRITY of m is by key.
func Authentic(m *stun.Message, key Key) bool {
	return stun.MessageIntegrity(key[:]).Check(m) == nil
}

// Integrity appends MESSAGE-INTEGRITY (RFC 8489 §14.5); only Fingerprint may follow.
func (r *Reply) Integrity(key Key) {
	const size = 4 + sha1.Size
	r.setLength(len(r.b) + size)
	mac := hmac.New(sha1.New, key[:])
	mac.Write(r.b)
	r.Bytes(stun.AttrMessageIntegrity, mac.Sum(nil))
}

// Fingerprint appends FINGERPRINT (RFC 8489 §14.7), the last attribute.
func (r *Reply) Fingerprint() {
	r.setLength(len(r.b) + 8)
	r.Bytes(stun.AttrFingerprint, binary.BigEndian.AppendUint32(nil, stun.FingerprintValue(r.b)))
}
