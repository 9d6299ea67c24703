package relay

import (
	"encoding/binary"

	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// answer is the outcome of a request: a code and why, or success.
type answer struct {
	code    stun.ErrorCode // 0: success
	reason  refusal
	unknown []stun.AttrType   // with 420
	fill    func(*wire.Reply) // attributes of a success; may be nil
}

func refuse(code stun.ErrorCode, r refusal) answer { return answer{code: code, reason: r} }

// maxUnknown bounds UNKNOWN-ATTRIBUTES, so that a long request is not answered by a
// long one.
const maxUnknown = 8

// known are the comprehension-required attributes that have a meaning here. That some of
// them are refused where they come is a matter of their requests.
func known(t stun.AttrType) bool {
	switch t {
	case stun.AttrMappedAddress, stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrErrorCode, stun.AttrUnknownAttributes,
		stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData, stun.AttrRealm, stun.AttrNonce,
		stun.AttrXORRelayedAddress, stun.AttrRequestedAddressFamily, stun.AttrEvenPort, stun.AttrRequestedTransport,
		stun.AttrDontFragment, stun.AttrXORMappedAddress, stun.AttrReservationToken, stun.AttrMessageIntegritySHA256:
		return true
	}
	return false
}

// request answers a request of c, which has the allocation a or none.
func (w *worker) request(c client, b []byte, a *allocation) {
	s, now := w.s, w.s.cfg.now()
	key := gateKey(c, a)
	if !s.gate.allow(key, now) {
		w.tally.drop(droppedChallenge)
		return
	}
	m := &w.msg
	if wire.Decode(m, b) != nil {
		w.tally.drop(droppedMalformed)
		return
	}
	switch m.Type.Method {
	case stun.MethodBinding:
		w.reply(c, s.binding(c, m))
		return
	case stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind,
		stun.MethodConnect, stun.MethodConnectionBind:
	default: // RFC 8489 §6.3: a method that is not known is discarded
		w.tally.drop(droppedMalformed)
		return
	}
	id, challenge := s.authenticate(c, m, a)
	if challenge.code != 0 {
		s.metrics.refuse(challenge.reason)
		w.reply(c, s.challenge(c, m, challenge))
		return
	}
	s.gate.refund(key)
	out := s.perform(w, c, m, a, id)
	if out.code != 0 {
		s.metrics.refuse(out.reason)
	}
	w.reply(c, build(m, out, &id.key))
}

// binding answers RFC 8489 §6.3.1's Binding: where the client is seen from.
func (s *Server) binding(c client, m *stun.Message) []byte {
	if unknown := wire.Unknown(m, known, maxUnknown); len(unknown) > 0 {
		s.metrics.refuse(refusedAttribute)
		return build(m, answer{code: stun.CodeUnknownAttribute, unknown: unknown}, nil)
	}
	return build(m, answer{fill: func(r *wire.Reply) { r.Address(stun.AttrXORMappedAddress, c.addr) }}, nil)
}

// build makes the answer to m, signed if key is not nil.
func build(m *stun.Message, out answer, key *wire.Key) []byte {
	class := stun.ClassSuccessResponse
	if out.code != 0 {
		class = stun.ClassErrorResponse
	}
	r := wire.NewReply(make([]byte, 0, 128), stun.NewType(m.Type.Method, class), m.TransactionID)
	if out.code != 0 {
		r.Error(out.code)
	}
	if len(out.unknown) > 0 {
		var v []byte
		for _, t := range out.unknown {
			v = binary.BigEndian.AppendUint16(v, uint16(t))
		}
		r.Bytes(stun.AttrUnknownAttributes, v)
	}
	if out.fill != nil {
		out.fill(r)
	}
	if key != nil {
		r.Integrity(*key)
	}
	// It tells STUN from other protocols on a shared port; who does not use it does not need it.
	if m.Contains(stun.AttrFingerprint) {
		r.Fingerprint()
	}
	return r.Message()
}

// authenticate checks the long-term credentials of m (RFC 8489 §9.2.4). The nonce comes
// first: without it nothing proves the source address, and nothing more is computed for it.
func (s *Server) authenticate(c client, m *stun.Message, a *allocation) (identity, answer) {
	if !m.Contains(stun.AttrMessageIntegrity) {
		return identity{}, refuse(stun.CodeUnauthorized, refusedAnonymous)
	}
	username, hasUser := wire.Find(m, stun.AttrUsername)
	realm, hasRealm := wire.Find(m, stun.AttrRealm)
	nonce, hasNonce := wire.Find(m, stun.AttrNonce)
	if !hasUser || !hasRealm || !hasNonce {
		return identity{}, refuse(stun.CodeBadRequest, refusedRequest)
	}
	now := s.cfg.now()
	if !s.nonces.Valid(nonce, c.addr, uint8(c.transport), now) {
		return identity{}, refuse(stun.CodeStaleNonce, refusedNonce)
	}
	if string(realm) != s.cfg.Realm {
		return identity{}, refuse(stun.CodeUnauthorized, refusedUsername)
	}
	id, r := s.identify(string(username), m.Type.Method == stun.MethodAllocate, a, now)
	if r != "" {
		return identity{}, refuse(stun.CodeUnauthorized, r)
	}
	if !wire.Authentic(m, id.key) {
		return identity{}, refuse(stun.CodeUnauthorized, refusedPassword)
	}
	return id, answer{}
}

// challenge is an answer that is not signed: with 401 and 438 go realm and nonce.
func (s *Server) challenge(c client, m *stun.Message, out answer) []byte {
	if out.code != stun.CodeBadRequest {
		out.fill = func(r *wire.Reply) {
			r.Bytes(stun.AttrRealm, []byte(s.cfg.Realm))
			r.Bytes(stun.AttrNonce, []byte(s.nonces.Issue(c.addr, uint8(c.transport), s.cfg.now())))
		}
	}
	return build(m, out, nil)
}

// perform does what an authentic request asks for.
func (s *Server) perform(w *worker, c client, m *stun.Message, a *allocation, id identity) answer {
	if unknown := wire.Unknown(m, known, maxUnknown); len(unknown) > 0 {
		return answer{code: stun.CodeUnknownAttribute, reason: refusedAttribute, unknown: unknown}
	}
	if m.Type.Method == stun.MethodAllocate {
		return s.allocate(w, c, m, a, id)
	}
	// RFC 8656 §5: 437 without an allocation, 441 for another user's.
	if a == nil || a.dead.Load() {
		return refuse(stun.CodeAllocMismatch, refusedNoAllocation)
	}
	if a.username != id.username {
		return refuse(stun.CodeWrongCredentials, refusedUser)
	}
	switch m.Type.Method {
	case stun.MethodRefresh:
		return s.refresh(w, m, a)
	case stun.MethodCreatePermission:
		return s.createPermission(w, m, a)
	case stun.MethodChannelBind:
		return s.channelBind(w, m, a)
	}
	// RFC 6062: no TCP to peers.
	return refuse(stun.CodeBadRequest, refusedMethod)
}
