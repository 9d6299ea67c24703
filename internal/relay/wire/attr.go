package wire

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// Family is an address family as RFC 8489 §14.1 numbers it.
type Family uint8

// The families.
const (
	IPv4 Family = 1
	IPv6 Family = 2
)

// FamilyOf returns the family of a canonical address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

const cookie = 0x2112A442

// Find returns the value of the first attribute of type t: RFC 8489 §14 ignores
// what else is of that type.
func Find(m *stun.Message, t stun.AttrType) ([]byte, bool) {
	for _, a := range m.Attributes {
		if a.Type == t {
			return a.Value, true
		}
	}
	return nil, false
}

// Unknown returns the types of comprehension-required attributes (RFC 8489 §14: below
// 0x8000) that known does not have, at most max of them.
func Unknown(m *stun.Message, known func(stun.AttrType) bool, max int) []stun.AttrType {
	var unknown []stun.AttrType
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !known(a.Type) && len(unknown) < max {
			unknown = append(unknown, a.Type)
		}
	}
	return unknown
}

// xorAddress decodes the value of XOR-PEER-ADDRESS and its kin (RFC 8489 §14.2). An
// IPv4-mapped address stays IPv6: the family is what the client said.
func xorAddress(v []byte, tid *[stun.TransactionIDSize]byte) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ cookie>>16
	switch {
	case Family(v[1]) == IPv4 && len(v) == 8:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^cookie)
		return netip.AddrPortFrom(netip.AddrFrom4(a), port), true
	case Family(v[1]) == IPv6 && len(v) == 20:
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^cookie)
		for i := range tid {
			a[4+i] = v[8+i] ^ tid[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom16(a), port), true
	}
	return netip.AddrPort{}, false
}

// Peers returns every XOR-PEER-ADDRESS of m; false if there is none or one is
// malformed.
func Peers(m *stun.Message) ([]netip.AddrPort, bool) {
	var peers []netip.AddrPort
	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		p, ok := xorAddress(a.Value, &m.TransactionID)
		if !ok {
			return nil, false
		}
		peers = append(peers, p)
	}
	return peers, len(peers) > 0
}

// Peer returns the first XOR-PEER-ADDRESS of m.
func Peer(m *stun.Message) (netip.AddrPort, bool) {
	v, ok := Find(m, stun.AttrXORPeerAddress)
	if !ok {
		return netip.AddrPort{}, false
	}
	return xorAddress(v, &m.TransactionID)
}

// Uint32 returns a 4-byte attribute; present tells whether there is one, and ok is
// false if its length is another.
func Uint32(m *stun.Message, t stun.AttrType) (value uint32, present, ok bool) {
	v, present := Find(m, t)
	if !present {
		return 0, false, true
	}
	if len(v) != 4 {
		return 0, true, false
	}
	return binary.BigEndian.Uint32(v), true, true
}

// ChannelNumber returns CHANNEL-NUMBER (RFC 8656 §18.1): 16 bits, and 16 that are
// ignored.
func ChannelNumber(m *stun.Message) (uint16, bool) {
	v, present, ok := Uint32(m, stun.AttrChannelNumber)
	return uint16(v >> 16), present && ok
}

// EvenPort returns EVEN-PORT (RFC 8656 §18.7): one byte, whose first bit asks to
// reserve the next port as well.
func EvenPort(m *stun.Message) (reserve, present, ok bool) {
	v, present := Find(m, stun.AttrEvenPort)
	if !present {
		return false, false, true
	}
	if len(v) != 1 {
		return false, true, false
	}
	return v[0]&0x80 != 0, true, true
}

// Reply builds a message by appending to its bytes.
type Reply struct{ b []byte }

// NewReply begins a message of type t in dst, whose contents are kept in front of it
// out of the message: dst has to be empty.
func NewReply(dst []byte, t stun.MessageType, tid [stun.TransactionIDSize]byte) *Reply {
	dst = binary.BigEndian.AppendUint16(dst[:0], t.Value())
	dst = binary.BigEndian.AppendUint16(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, cookie)
	return &Reply{append(dst, tid[:]...)}
}

// Bytes appends an attribute, zero-padded.
func (r *Reply) Bytes(t stun.AttrType, v []byte) {
	r.b = binary.BigEndian.AppendUint16(r.b, uint16(t))
	r.b = binary.BigEndian.AppendUint16(r.b, uint16(len(v)))
	r.b = append(r.b, v...)
	for len(r.b)%4 != 0 {
		r.b = append(r.b, 0)
	}
	r.setLength(len(r.b))
}

func (r *Reply) setLength(end int) {
	binary.BigEndian.PutUint16(r.b[2:], uint16(end-HeaderSize))
}

// Uint32 appends a 4-byte attribute.
func (r *Reply) Uint32(t stun.AttrType, v uint32) {
	r.Bytes(t, binary.BigEndian.AppendUint32(nil, v))
}

// Error appends ERROR-CODE (RFC 8489 §14.8) without a reason phrase.
func (r *Reply) Error(code stun.ErrorCode) {
	r.Bytes(stun.AttrErrorCode, []byte{0, 0, byte(code / 100), byte(code % 100)})
}

// AddressError appends ADDRESS-ERROR-CODE (RFC 8656 §18.12).
func (r *Reply) AddressError(f Family, code stun.ErrorCode) {
	r.Bytes(AttrAddressErrorCode, []byte{byte(f), 0, byte(code / 100), byte(code % 100)})
}

// Address appends an XOR-…-ADDRESS attribute.
func (r *Reply) Address(t stun.AttrType, a netip.AddrPort) {
	v := make([]byte, 0, 20)
	v = append(v, 0, byte(FamilyOf(a.Addr())))
	v = binary.BigEndian.AppendUint16(v, a.Port()^cookie>>16)
	ip := a.Addr().AsSlice()
	for i, x := range ip {
		v = append(v, x^r.b[4+i]) // cookie and transaction id, as they stand in the header
	}
	r.Bytes(t, v)
}

// Message returns what was built.
func (r *Reply) Message() []byte { return r.b }

// AppendData appends to dst a Data indication (RFC 8656 §11.6): data from peer.
func AppendData(dst []byte, tid [stun.TransactionIDSize]byte, peer netip.AddrPort, data []byte) []byte {
	r := Reply{dst[len(dst):]}
	begin := len(dst)
	dst = append(dst, 0x00, 0x17, 0, 0, 0x21, 0x12, 0xA4, 0x42)
	dst = append(dst, tid[:]...)
	r.b = dst[begin:]
	r.Address(stun.AttrXORPeerAddress, peer)
	r.Bytes(stun.AttrData, data)
	// Where the capacity sufficed this is the same memory.
	return append(dst[:begin], r.b...)
}
