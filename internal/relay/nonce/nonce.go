// Package nonce makes the nonces of long-term credentials (RFC 8489 §9.2) without
// remembering them.
//
// A nonce is the time it was made at, in steps of Step, and a MAC of that and of the client's
// five-tuple. Who returns it in an authenticated request has received what was sent
// to its address, so that the address is proven: nobody can allocate, and become a
// peer, in the name of another. No state is kept before that, so a flood of forged
// requests costs no memory.
//
// A nonce of another address, one of the future, and one older than Life are the same
// to a client: stale (438).
package nonce

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"
)

// Size is the length of a nonce in bytes, all printable. RFC 8489 §14.10 allows 508.
const Size = 22

// Life is how long a nonce is good for, give or take Step. RFC 8656 §5 recommends an
// hour at the most.
const (
	Life = time.Hour
	Step = time.Minute
)

const (
	stampSize = 4
	macSize   = 12
)

// Source makes and checks nonces. It is safe for concurrent use. Nodes that answer
// for one address share the key.
type Source struct{ key [32]byte }

// New returns a Source with a key, which must be secret and random.
func New(key [32]byte) *Source { return &Source{key} }

// Issue returns the nonce of a client at a, which reaches us by transport (a number
// of the caller's), at the time now.
func (s *Source) Issue(a netip.AddrPort, transport uint8, now time.Time) string {
	return s.at(a, transport, step(now))
}

// Valid tells whether nonce was issued to a within Life.
func (s *Source) Valid(nonce []byte, a netip.AddrPort, transport uint8, now time.Time) bool {
	var raw [stampSize + macSize]byte
	if len(nonce) != Size {
		return false
	}
	if n, err := base64.RawURLEncoding.Decode(raw[:], nonce); err != nil || n != len(raw) {
		return false
	}
	made, current := binary.BigEndian.Uint32(raw[:]), step(now)
	if current-made > uint32(Life/Step) { // unsigned: the future is far away, too
		return false
	}
	return hmac.Equal(nonce, []byte(s.at(a, transport, made)))
}

func step(t time.Time) uint32 { return uint32(t.Unix() / int64(Step/time.Second)) }

func (s *Source) at(a netip.AddrPort, transport uint8, made uint32) string {
	ip := a.Addr().As16()
	in := make([]byte, 0, stampSize+1+16+2)
	in = binary.BigEndian.AppendUint32(in, made)
	in = append(in, transport)
	in = append(in, ip[:]...)
	in = binary.BigEndian.AppendUint16(in, a.Port())
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write(in)
	out := mac.Sum(in[:stampSize])
	return base64.RawURLEncoding.EncodeToString(out[:stampSize+macSize])
}
