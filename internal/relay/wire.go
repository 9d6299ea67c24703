package relay

import (
	"encoding/binary"
	"errors"

	"github.com/pion/stun/v4"
)

// maxDatagram is the buffer of the library's loops; a datagram that fills it may have
// been cut, and is dropped.
const maxDatagram = 1600

const stunHeader = 20

var errFrame = errors.New("neither a stun message nor channel data")

// kind is what the first bytes of a client's packet claim it to be.
type kind int

const (
	kindMalformed   kind = iota
	kindRequest          // STUN request: will be answered
	kindIndication       // STUN indication: never answered
	kindChannelData      // RFC 8656 §12.4
)

// isChannelData judges by the first byte. RFC 8656 §12 has channels 0x4000 to 0x4FFF,
// RFC 5766 §11 had them up to 0x7FFF, and coturn's client uses all.
func isChannelData(first byte) bool { return first>>6 == 1 }

// classify looks at a client's datagram without decoding its attributes.
func classify(b []byte) kind {
	if len(b) < 4 {
		return kindMalformed
	}
	// The length may be less than what follows, by padding.
	if isChannelData(b[0]) {
		if 4+int(binary.BigEndian.Uint16(b[2:])) > len(b) {
			return kindMalformed
		}
		return kindChannelData
	}
	// RFC 8489 §5: two zero bits, the magic cookie, a length that is a multiple of 4.
	if b[0]>>6 != 0 || !stun.IsMessage(b) || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader || len(b)%4 != 0 {
		return kindMalformed
	}
	switch class(b) {
	case stun.ClassRequest:
		return kindRequest
	case stun.ClassIndication:
		return kindIndication
	}
	return kindMalformed // nobody asked a client for a response
}

func class(b []byte) stun.MessageClass {
	var t stun.MessageType
	t.ReadValue(binary.BigEndian.Uint16(b))
	return t.Class
}

// frameSize returns the length of the frame on a TCP connection that begins with head
// (at least 4 bytes): RFC 8656 §12.5 pads ChannelData to 4 bytes on a stream.
func frameSize(head []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case isChannelData(head[0]):
		return 4 + (n+3)&^3, nil
	case head[0]>>6 == 0 && n%4 == 0:
		return stunHeader + n, nil
	}
	return 0, errFrame
}

// relayed tells whether a packet that the server sends to a client is relayed data.
func relayed(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	// RFC 8656 §18.1: Data is method 7, as an indication 0x0017.
	return isChannelData(b[0]) || b[0] == 0x00 && b[1] == 0x17
}

// mendChannelBind gives the refusal of a peer in ChannelBind the code that RFC 8656
// §12.2 has for it, 403, where the library sends 401, which tells a client to
// authenticate again. key is that of the allocation. Anything else is returned as it is.
func mendChannelBind(b, key []byte) []byte {
	// RFC 8489 §5 and RFC 8656 §17: ChannelBind is method 9, as an error response 0x0119.
	if len(b) < stunHeader || b[0] != 0x01 || b[1] != 0x19 || key == nil {
		return b
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	var code stun.ErrorCodeAttribute
	if m.Decode() != nil || code.GetFrom(m) != nil || code.Code != stun.CodeUnauthorized || !m.Contains(stun.AttrMessageIntegrity) {
		return b // a real 401 has no message integrity (RFC 8489 §9.2.4)
	}
	mended, err := stun.Build(&stun.Message{TransactionID: m.TransactionID}, m.Type,
		&stun.ErrorCodeAttribute{Code: stun.CodeForbidden}, stun.MessageIntegrity(key))
	if err != nil {
		return b
	}
	return mended.Raw
}
