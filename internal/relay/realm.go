package relay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

const (
	realmHour  = int64(time.Hour / time.Second)
	realmToken = 9 // base64url characters, 54 bits
)

// realms proves that a client over UDP receives at the address that its packets claim
// to be from. The nonce should do that (RFC 8489 §9.2: it may be bound to the client's
// address), but the library's is the same for everybody for a minute, so that
// somebody with a credential could allocate in the name of a forged address, and thereby make
// it a peer. The realm is the other thing that a client echoes. So each address gets its own,
// the configured realm with a token behind it, and authentication holds clients to it.
type realms struct {
	base string
	key  [32]byte
	now  func() time.Time
}

func newRealms(base string, now func() time.Time) *realms {
	r := &realms{base: base, now: now}
	_, _ = rand.Read(r.key[:]) // never fails, says its documentation
	return r
}

// current is the realm to challenge c with. Over TCP the handshake is proof enough.
func (r *realms) current(c client) string {
	if c.transport == overTCP {
		return r.base
	}
	return r.at(c.addr, r.now().Unix()/realmHour)
}

// valid tells whether c was challenged with realm, in this hour or the last.
func (r *realms) valid(c client, realm string) bool {
	if c.transport == overTCP {
		return realm == r.base
	}
	hour := r.now().Unix() / realmHour
	return hmac.Equal([]byte(realm), []byte(r.at(c.addr, hour))) || hmac.Equal([]byte(realm), []byte(r.at(c.addr, hour-1)))
}

func (r *realms) at(a netip.AddrPort, hour int64) string {
	mac := hmac.New(sha256.New, r.key[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(hour)))
	mac.Write([]byte(a.String()))
	return r.base + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))[:realmToken]
}

// challenge puts realm into a challenge, an error response with nonce and realm and
// without message integrity (RFC 8489 §9.2.4). Anything else is returned as it is.
func challenge(b []byte, realm string) []byte {
	if len(b) < stunHeader || b[0]>>6 != 0 || class(b) != stun.ClassErrorResponse {
		return b
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	var (
		code  stun.ErrorCodeAttribute
		nonce stun.Nonce
	)
	if m.Decode() != nil || m.Contains(stun.AttrMessageIntegrity) || !m.Contains(stun.AttrRealm) ||
		code.GetFrom(m) != nil || nonce.GetFrom(m) != nil {
		return b
	}
	// No reason phrase: it would only be amplification.
	changed, err := stun.Build(&stun.Message{TransactionID: m.TransactionID}, m.Type,
		&stun.ErrorCodeAttribute{Code: code.Code}, nonce, stun.NewRealm(realm))
	if err != nil {
		return b
	}
	return changed.Raw
}
