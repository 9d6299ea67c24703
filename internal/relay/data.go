package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"causeway/internal/relay/grants"
	"causeway/internal/relay/policy"
	"causeway/internal/relay/udp"
	"causeway/internal/relay/wire"

	"github.com/pion/stun/v4"
)

// worker is what one goroutine needs to handle packets: it collects what is to be sent,
// and sends it by flush.
type worker struct {
	s     *Server
	out   *udp.Writer
	tally *tally
	arena []byte // headers of what out holds
	msg   stun.Message
	now   int64 // nanoseconds of Server.clock, as of the batch
}

func (s *Server) newWorker() *worker {
	return &worker{s: s, out: udp.NewWriter(), tally: s.metrics.tally(), arena: make([]byte, 0, 16<<10)}
}

// begin starts a batch.
func (w *worker) begin() { w.now = w.s.clock() }

// flush sends what the batch has made.
func (w *worker) flush() {
	_, _ = w.out.Flush() // a packet that could not be sent is lost, as on any network
	w.arena = w.arena[:0]
}

// room returns an empty slice of n bytes' capacity that lives until flush.
func (w *worker) room(n int) []byte {
	if cap(w.arena)-len(w.arena) < n {
		w.arena = make([]byte, 0, max(cap(w.arena), 2*n)) // what out holds keeps the old one
	}
	at := len(w.arena)
	w.arena = w.arena[:at+n]
	return w.arena[at : at : at+n]
}

// overhead is what the layers below add to a datagram to addr, in bytes.
func overhead(addr netip.Addr) int64 {
	if addr.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// spend takes n bytes of a's grant, and more from the ledger ahead of need.
func (w *worker) spend(a *allocation, n int64) bool {
	account := a.member.account
	r := account.Spend(n, w.now)
	w.s.ask(a.member)
	switch r {
	case grants.Passed:
		return true
	case grants.TooFast:
		w.tally.drop(droppedRate)
	case grants.Dead:
		w.tally.drop(droppedEnded)
	default:
		w.tally.drop(droppedBudget)
		if account.Drained(n) {
			w.s.end(a.member, causeSpent)
		}
	}
	return false
}

// permitted is the policy at every packet. It is two loads unless the session changed.
func (w *worker) permitted(a *allocation, p *peer) bool {
	j := p.judged.Load()
	v := policy.Verdict(j)
	if j>>8 != a.member.session.generation.Load() {
		v = w.s.judge(a, p)
		p.used.Store(w.now)
	}
	if v != policy.Allow {
		w.s.metrics.denyPacket(v)
		return false
	}
	return true
}

func (w *worker) gated(p *peer, fromPeer bool, data []byte) bool {
	if g := p.gate.Load(); g != nil && !g.pass(fromPeer, data, w.s.cfg.now()) {
		w.tally.drop(droppedGate)
		return false
	}
	return true
}

// meet returns the peer at addr, for which a has a permission, or nil.
func (w *worker) meet(a *allocation, addr netip.AddrPort) *peer {
	if p := a.peer(addr, w.now); p != nil {
		return p
	}
	permission := a.permission(addr.Addr(), w.now)
	if permission == nil {
		w.tally.drop(droppedNoPermission)
		return nil
	}
	near := w.s.public.near(addr.Addr())
	w.s.table.mu.Lock()
	defer w.s.table.mu.Unlock()
	p := a.meet(addr, permission, near, w.s.cfg.Limits.peers(), w.now)
	if p == nil {
		w.tally.drop(droppedPeers)
	}
	return p
}

// fromClient handles one datagram of a client.
func (w *worker) fromClient(p *udp.Packet, via *udp.Conn) {
	c := client{transport: overUDP, addr: p.Addr, local: p.Local, via: via}
	if len(p.Data) > wire.MaxDatagram {
		w.tally.drop(droppedOversize)
		return
	}
	w.fromAny(c, p.Data, w.s.table.clients.get(p.Addr))
}

// fromAny handles one packet of a client that has the allocation a, or none. It is the whole
// cost of a forged packet, besides an answer at a limited rate.
func (w *worker) fromAny(c client, b []byte, a *allocation) {
	kind := wire.Classify(b)
	switch {
	case kind == wire.Malformed:
		w.tally.drop(droppedMalformed)
	case kind == wire.Request:
		w.request(c, b, a)
	case a == nil:
		w.tally.drop(droppedUnsolicited)
	case kind == wire.ChannelData:
		n, data, _ := wire.Channel(b)
		if p := a.bound(n, w.now); p != nil {
			w.toPeer(a, p, data)
		} else {
			w.tally.drop(droppedNoPermission)
		}
	default:
		w.indication(a, b)
	}
}

// indication handles Send (RFC 8656 §11.2) and ignores every other indication.
func (w *worker) indication(a *allocation, b []byte) {
	m := &w.msg
	if wire.Decode(m, b) != nil {
		w.tally.drop(droppedMalformed)
		return
	}
	if m.Type.Method != stun.MethodSend {
		return
	}
	addr, ok := wire.Peer(m)
	data, has := wire.Find(m, stun.AttrData)
	if !ok || !has || len(wire.Unknown(m, known, 1)) > 0 {
		w.tally.drop(droppedMalformed)
		return
	}
	if p := w.meet(a, canonical(addr)); p != nil {
		w.toPeer(a, p, data)
	}
}

// toPeer sends data from a's client to p.
func (w *worker) toPeer(a *allocation, p *peer, data []byte) {
	if !w.permitted(a, p) || !w.gated(p, false, data) {
		return
	}
	if b := p.target.Load(); b != nil {
		w.hairpin(a, b, data)
		return
	}
	n := int64(len(data)) + overhead(p.addr.Addr())
	if !w.spend(a, n) {
		return
	}
	if p.free {
		a.member.account.Free(n)
	}
	w.out.Send(a.conn, p.addr, netip.Addr{}, nil, data)
	w.tally.relayed(toPeer, len(data))
}

// hairpin hands data from a's client to b's, without a socket in between. b treats it as
// from any peer. The sender's grant pays.
func (w *worker) hairpin(a, b *allocation, data []byte) {
	if b.dead.Load() {
		w.tally.drop(droppedEnded)
		return
	}
	p := w.meet(b, a.relayed)
	if p == nil || !w.permitted(b, p) || !w.gated(p, true, data) {
		return
	}
	w.toClient(a, b, p, data, hairpin)
}

// fromPeer handles one datagram that arrived at a's relayed address.
func (w *worker) fromPeer(a *allocation, p *udp.Packet) {
	if a.dead.Load() {
		w.tally.drop(droppedEnded)
		return
	}
	if len(p.Data) > wire.MaxDatagram {
		w.tally.drop(droppedOversize)
		return
	}
	q := w.meet(a, canonical(p.Addr))
	if q == nil || !w.permitted(a, q) || !w.gated(q, true, p.Data) {
		return
	}
	w.toClient(a, a, q, p.Data, toClient)
}

// toClient sends to b's client what p sent, at the expense of payer.
func (w *worker) toClient(payer, b *allocation, p *peer, data []byte, d direction) {
	n, bound := p.live(w.now)
	size := int64(len(data)) + overhead(b.client.addr.Addr()) + wire.ChannelHeader
	if !bound {
		size += 32 + 12 // Data indication with an IPv4 peer; padding is not worth counting
	}
	if !w.spend(payer, size) {
		return
	}
	if b.free {
		payer.member.account.Free(size)
	}
	w.tally.relayed(d, len(data))
	var head []byte
	if bound {
		head = wire.AppendChannel(w.room(wire.ChannelHeader), n, len(data))
	} else {
		data = wire.AppendData(w.room(len(data)+64), transaction(), p.addr, data)
	}
	if st := b.client.stream; st != nil {
		if !st.send(head, data) {
			w.tally.drop(droppedConnectionBusy)
		}
		return
	}
	w.out.Send(b.client.via, b.client.addr, b.client.local, head, data)
}

// transaction makes the id of an indication, which nobody answers.
func transaction() (id [stun.TransactionIDSize]byte) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	binary.NativeEndian.PutUint32(id[8:], rand.Uint32())
	return id
}

// reply sends an answer to a client; it is the only thing that goes to unproven addresses.
func (w *worker) reply(c client, b []byte) {
	if c.stream == nil {
		w.out.Send(c.via, c.addr, c.local, nil, b)
	} else if !c.stream.send(nil, b) {
		w.tally.drop(droppedConnectionBusy)
	}
}

// canonical makes one form of each address: IPv4 is never IPv4-mapped IPv6, and no zone.
func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// clock is the time since the server was made, in nanoseconds. It does not go back.
func (s *Server) clock() int64 { return int64(s.cfg.now().Sub(s.began)) }

// timers of the server.
const (
	sweepEvery  = 250 * time.Millisecond // so that what ended is dead within a second
	settleEvery = 5 * time.Second
)
