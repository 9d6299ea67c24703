package relay

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Methods of RFC 8489 and RFC 8656 (§17), as requests; an answer adds a class.
const (
	binding     = 0x0001
	allocate    = 0x0003
	channelBind = 0x0009

	classSuccess = 0x0100
	classError   = 0x0110
	classMask    = 0x0110
)

// Attributes (RFC 8489 §18.3, RFC 8656 §18).
const (
	attrUsername           = 0x0006
	attrIntegrity          = 0x0008
	attrError              = 0x0009
	attrChannel            = 0x000C
	attrPeer               = 0x0012
	attrRealm              = 0x0014
	attrNonce              = 0x0015
	attrRelayed            = 0x0016
	attrRequestedTransport = 0x0019
)

const (
	stunHeader  = 20
	magicCookie = 0x2112A442
	protocolUDP = 17
)

// transaction is the id of a request.
type transaction [12]byte

// message is a STUN message being built.
type message []byte

func newRequest(method uint16, id transaction) message {
	m := make(message, stunHeader, 256)
	binary.BigEndian.PutUint16(m, method)
	binary.BigEndian.PutUint32(m[4:], magicCookie)
	copy(m[8:], id[:])
	return m
}

func (m message) add(kind uint16, value []byte) message {
	m = binary.BigEndian.AppendUint16(m, kind)
	m = binary.BigEndian.AppendUint16(m, uint16(len(value)))
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-stunHeader))
	return m
}

// addPeer appends an XOR-PEER-ADDRESS (RFC 8489 §14.2) of IPv4.
func (m message) addPeer(a netip.AddrPort) message {
	v := []byte{0, 1, 0, 0, 0, 0, 0, 0}
	ip := a.Addr().As4()
	binary.BigEndian.PutUint16(v[2:], a.Port()^magicCookie>>16)
	binary.BigEndian.PutUint32(v[4:], binary.BigEndian.Uint32(ip[:])^magicCookie)
	return m.add(attrPeer, v)
}

// sign appends a MESSAGE-INTEGRITY (RFC 8489 §14.5).
func (m message) sign(key []byte) message {
	// The length covers the attribute that is about to follow.
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-stunHeader+4+sha1.Size))
	mac := hmac.New(sha1.New, key)
	mac.Write(m)
	return m.add(attrIntegrity, mac.Sum(nil))
}

// longTermKey is the key of long-term credentials (RFC 8489 §9.2.2).
func longTermKey(user, realm, password string) []byte {
	sum := md5.Sum([]byte(user + ":" + realm + ":" + password))
	return sum[:]
}

// answer is what the driver reads of a response.
type answer struct {
	id           transaction
	class        uint16
	code         int // of an error
	realm, nonce string
	relayed      netip.AddrPort
}

var errNotAnswer = errors.New("not an answer")

// parseAnswer reads a response. The integrity is not checked: nobody else is here.
func parseAnswer(b []byte) (answer, error) {
	var a answer
	if len(b) < stunHeader || b[0]&0xC0 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie || int(binary.BigEndian.Uint16(b[2:]))+stunHeader != len(b) {
		return a, errNotAnswer
	}
	a.class = binary.BigEndian.Uint16(b) & classMask
	a.id = transaction(b[8:20])
	for rest := b[stunHeader:]; len(rest) >= 4; {
		kind, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if 4+n > len(rest) {
			return a, errNotAnswer
		}
		a.attribute(kind, rest[4:4+n])
		rest = rest[min(4+(n+3)&^3, len(rest)):]
	}
	return a, nil
}

func (a *answer) attribute(kind uint16, v []byte) {
	switch kind {
	case attrError:
		if len(v) >= 4 {
			a.code = int(v[2]&7)*100 + int(v[3])
		}
	case attrRealm:
		a.realm = string(v)
	case attrNonce:
		a.nonce = string(v)
	case attrRelayed:
		if len(v) == 8 && v[1] == 1 {
			var ip [4]byte
			binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(v[4:])^magicCookie)
			a.relayed = netip.AddrPortFrom(netip.AddrFrom4(ip), binary.BigEndian.Uint16(v[2:])^magicCookie>>16)
		}
	}
}

// The forwarder's protocol: a client's first datagram says where its packets go, and
// is answered with the address that stands for the client. Everything else it sends
// goes there as it is.
var forwardMagic = []byte("CWFW")

// forwardRequest asks the forwarder for a relayed address; id comes back.
func forwardRequest(id transaction, peer netip.AddrPort) []byte {
	b := append(bytes.Clone(forwardMagic), id[:]...)
	b, err := peer.AppendBinary(b)
	if err != nil {
		panic(err) // AppendBinary has no errors
	}
	return b
}

// parseForward reads a request to the forwarder, or its answer.
func parseForward(b []byte) (id transaction, addr netip.AddrPort, ok bool) {
	rest, ok := bytes.CutPrefix(b, forwardMagic)
	if !ok || len(rest) < len(id) {
		return id, addr, false
	}
	id = transaction(rest)
	return id, addr, addr.UnmarshalBinary(rest[len(id):]) == nil
}

// refused is an error answer.
type refused struct {
	what string
	code int
}

func (r refused) Error() string { return fmt.Sprintf("%s: the server answered %d", r.what, r.code) }
