// Package wire is what STUN and TURN look like as bytes: RFC 8489 and RFC 8656.
//
// Messages are decoded by pion/stun, and only after Classify took them for one. The
// accessors of this package are strict where that codec is lenient: an attribute has
// exactly the length that its RFC gives it, and an address is of a known family. All
// input is hostile; no function panics, keeps its argument or allocates by what a
// length field claims.
//
// Answers are built by appending (Reply), so that padding is zero and no attribute is
// there unless somebody asked for it. There are no reason phrases and no SOFTWARE:
// each byte would be amplification.
package wire

import (
	"encoding/binary"
	"errors"

	"github.com/pion/stun/v4"
)

// MaxDatagram is the longest packet of a client, in bytes. WebRTC stays below 1300.
const MaxDatagram = 1600

// HeaderSize is the length of a STUN header (RFC 8489 §5), ChannelHeader that of
// ChannelData (RFC 8656 §12.4), in bytes.
const (
	HeaderSize    = 20
	ChannelHeader = 4
)

// Methods that this package's codec has no name for, and attributes likewise.
const (
	AttrMobilityTicket          stun.AttrType = 0x8030 // RFC 8016 §3.1
	AttrAdditionalAddressFamily stun.AttrType = 0x8000 // RFC 8656 §18.11
	AttrAddressErrorCode        stun.AttrType = 0x8001 // RFC 8656 §18.12
)

// CodeMobilityForbidden is RFC 8016 §3.3's.
const CodeMobilityForbidden stun.ErrorCode = 405

// Errors of this package. A caller that gets one drops what it has in hand.
var (
	ErrFrame     = errors.New("neither a stun message nor channel data")
	ErrMalformed = errors.New("malformed stun message")
)

// Kind is what the first bytes of a client's packet claim it to be.
type Kind uint8

// The kinds. Responses are malformed here: nobody asked a client for one.
const (
	Malformed Kind = iota
	Request
	Indication
	ChannelData
)

// IsChannelData judges by the first byte. RFC 8656 §12 has channels 0x4000 to 0x4FFF,
// RFC 5766 §11 had them up to 0x7FFF, and coturn's client uses all.
func IsChannelData(first byte) bool { return first>>6 == 1 }

// Classify looks at a client's datagram without decoding its attributes.
func Classify(b []byte) Kind {
	if len(b) < ChannelHeader {
		return Malformed
	}
	if IsChannelData(b[0]) {
		if _, _, ok := Channel(b); !ok {
			return Malformed
		}
		return ChannelData
	}
	// RFC 8489 §5: two zero bits, the magic cookie, a length that is a multiple of 4.
	if b[0]>>6 != 0 || !stun.IsMessage(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b)-HeaderSize || len(b)%4 != 0 {
		return Malformed
	}
	switch typeOf(b).Class {
	case stun.ClassRequest:
		return Request
	case stun.ClassIndication:
		return Indication
	}
	return Malformed
}

func typeOf(b []byte) stun.MessageType {
	var t stun.MessageType
	t.ReadValue(binary.BigEndian.Uint16(b))
	return t
}

// Channel takes ChannelData apart. On UDP what follows the data is padding, which
// RFC 8656 §12.5 does not want there, but allows.
func Channel(b []byte) (number uint16, data []byte, ok bool) {
	if len(b) < ChannelHeader {
		return 0, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if ChannelHeader+n > len(b) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(b), b[ChannelHeader : ChannelHeader+n], true
}

// AppendChannel appends the header of ChannelData with n bytes to dst.
func AppendChannel(dst []byte, number uint16, n int) []byte {
	return append(dst, byte(number>>8), byte(number), byte(n>>8), byte(n))
}

// FrameSize returns the length of the frame on a stream that begins with head
// (at least 4 bytes): RFC 8656 §12.5 pads ChannelData to 4 bytes there.
func FrameSize(head []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case IsChannelData(head[0]):
		return ChannelHeader + (n+3)&^3, nil
	case head[0]>>6 == 0 && n%4 == 0:
		return HeaderSize + n, nil
	}
	return 0, ErrFrame
}

// Decode parses b, which Classify took for a request or an indication, into m; m keeps
// b. A FINGERPRINT, where there is one, has to match (RFC 8489 §14.7).
func Decode(m *stun.Message, b []byte) error {
	// The codec computes a MAC into the memory behind Raw, which may be the next packet's.
	m.Raw = b[:len(b):len(b)]
	if err := m.Decode(); err != nil {
		return ErrMalformed // the codec's text has bytes of the packet in it
	}
	for i, a := range m.Attributes {
		if a.Type != stun.AttrFingerprint {
			continue
		}
		// It is the last attribute, so its place is known.
		if i != len(m.Attributes)-1 || len(a.Value) != 4 || len(b) < HeaderSize+8 ||
			binary.BigEndian.Uint16(b[len(b)-8:]) != uint16(stun.AttrFingerprint) ||
			stun.FingerprintValue(b[:len(b)-8]) != binary.BigEndian.Uint32(a.Value) {
			return ErrMalformed
		}
	}
	return nil
}
