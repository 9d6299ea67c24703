package policy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
)

// What ICE uses of STUN (RFC 8489 §5, RFC 8445 §7).
const (
	stunHeader    = 20
	magicCookie   = 0x2112A442
	bindingMethod = 0x0001

	attrUsername    = 0x0006
	attrIntegrity   = 0x0008
	attrFingerprint = 0x8028

	fingerprintXOR = 0x5354554e
	fingerprintLen = 8  // with its header
	integrityLen   = 24 // with its header
)

// class of a Binding message.
type class uint8

const (
	request class = iota
	indication
	success
	failure
)

type transaction [12]byte

// check is a STUN message as ICE sends it. Its slices are of the packet.
type check struct {
	class     class
	id        transaction
	username  []byte // nil: none
	integrity []byte // 20 bytes; nil: none
	covered   []byte // header and attributes before the integrity
}

// isSTUN is RFC 7983 §7: first byte 0 to 3; and the cookie.
func isSTUN(pkt []byte) bool {
	return len(pkt) >= stunHeader && pkt[0] <= 3 && binary.BigEndian.Uint32(pkt[4:]) == magicCookie
}

// parseCheck reads a Binding message with a valid FINGERPRINT, which RFC 8445 §7.1.1
// wants on all of them.
func parseCheck(pkt []byte) (c check, ok bool) {
	if !isSTUN(pkt) || len(pkt)%4 != 0 || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt)-stunHeader || !fingerprinted(pkt) {
		return c, false
	}
	kind := binary.BigEndian.Uint16(pkt)
	if kind&^0x0110 != bindingMethod {
		return c, false
	}
	c.class = class(kind>>7&2 | kind>>4&1)
	copy(c.id[:], pkt[8:])
	for at := stunHeader; at < len(pkt)-fingerprintLen; {
		name, size := binary.BigEndian.Uint16(pkt[at:]), int(binary.BigEndian.Uint16(pkt[at+2:]))
		next := at + 4 + (size+3)&^3
		if next > len(pkt)-fingerprintLen {
			return c, false
		}
		value := pkt[at+4 : at+4+size]
		switch {
		case name == attrFingerprint:
			return c, false // not the last
		case c.integrity != nil: // RFC 8489 §14.5: what follows is ignored
		case name == attrUsername && c.username == nil:
			c.username = value
		case name == attrIntegrity:
			if size != sha1.Size {
				return c, false
			}
			c.integrity, c.covered = value, pkt[:at]
		}
		at = next
	}
	return c, true
}

// fingerprinted: RFC 8489 §14.7, the last attribute.
func fingerprinted(pkt []byte) bool {
	at := len(pkt) - fingerprintLen
	return at >= stunHeader && binary.BigEndian.Uint32(pkt[at:]) == attrFingerprint<<16|4 &&
		binary.BigEndian.Uint32(pkt[at+4:]) == crc32.ChecksumIEEE(pkt[:at])^fingerprintXOR
}

// authentic says whether the message has an integrity made with key (RFC 8489 §14.5).
// No key is nobody's.
func (c *check) authentic(key string) bool {
	if c.integrity == nil || key == "" {
		return false
	}
	// The length in the header counts as if the integrity were the last attribute.
	var head [stunHeader]byte
	copy(head[:], c.covered)
	binary.BigEndian.PutUint16(head[2:], uint16(len(c.covered)-stunHeader+integrityLen))
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write(head[:])
	mac.Write(c.covered[stunHeader:])
	return hmac.Equal(mac.Sum(nil), c.integrity)
}

// ufrags splits USERNAME: the receiver's ufrag, a colon, the sender's (RFC 8445 §7.2.2).
func (c *check) ufrags() (receiver, sender []byte, ok bool) {
	receiver, sender, ok = bytes.Cut(c.username, []byte{':'})
	return receiver, sender, ok && len(receiver) > 0 && len(sender) > 0
}
