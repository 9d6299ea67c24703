package policy

import "time"

// Bounds of a Gate.
const (
	// A direction passes at most 50 checks in any second: a burst of checkBurst, and
	// another every checkEvery.
	checkBurst = 10
	checkEvery = time.Second / 40

	maxCheckBytes  = 64 << 10         // until OPEN, both directions together
	consentTime    = 30 * time.Second // RFC 7675 §5.1
	maxOutstanding = 16               // transactions in a direction; the oldest makes room
)

// Directory tells whose an ICE ufrag is, and the password that goes with it. It knows the
// members of one session, and after an ICE restart the former ufrags for as long as their checks
// may be under way.
type Directory func(ufrag []byte) (member, pwd string, ok bool)

// Gate is P3 for one pair of allocation and peer, address and port. It is fed with all that
// goes either way, and says what may pass:
//
//	NEW, CHECKING   Binding messages of ICE only: FINGERPRINT; requests with
//	                USERNAME = <receiver's ufrag>:<sender's ufrag> of two different
//	                members, one of them the allocation's, and MESSAGE-INTEGRITY under
//	                the receiver's password; answers to outstanding ones of these. At
//	                most 50 packets/s each way, and 64 KiB in all.
//	OPEN            everything; for 30 s from the last request that got an answer of
//	                success, awaited and authentic (consent, RFC 7675)
//	CLOSED          as NEW
//
// The directions open by themselves: from the client to the peer only by the peer's answer,
// as it is the peer that consents; from the peer to the client by either's, as ICE-lite
// peers ask nothing.
//
// The zero Gate with its two fields set is NEW. A Gate is not safe for concurrent use. It
// costs about 100 bytes until the first valid request, then about 2 KiB.
type Gate struct {
	Member    string    // whose allocation it is
	Directory Directory // of its session

	bytes    int          // passed before OPEN
	rate     [2]time.Time // by direction: when the bucket is full again
	opened   [2]time.Time // by direction: the last success; zero: never
	awaiting *[2]awaiting // by direction of the request
}

type direction int

const (
	fromClient direction = iota
	fromPeer
)

// awaiting is a ring of requests that passed and may be answered.
type awaiting struct {
	next int
	list [maxOutstanding]struct {
		id   transaction
		pwd  string // of the receiver; "" is a free place
		sent time.Time
	}
}

// FromPeer says whether pkt, which came from the peer, may go to the client.
func (g *Gate) FromPeer(pkt []byte, now time.Time) bool { return g.pass(fromPeer, pkt, now) }

// FromClient says whether pkt, which the client sent, may go to the peer.
func (g *Gate) FromClient(pkt []byte, now time.Time) bool { return g.pass(fromClient, pkt, now) }

// Open says whether payload passes both ways.
func (g *Gate) Open(now time.Time) bool { return g.open(fromClient, now) && g.open(fromPeer, now) }

func (g *Gate) open(d direction, now time.Time) bool {
	return !g.opened[d].IsZero() && now.Sub(g.opened[d]) < consentTime
}

func (g *Gate) pass(d direction, pkt []byte, now time.Time) bool {
	open := g.open(d, now)
	if !isSTUN(pkt) { // media, and all else that is no check
		return open
	}
	valid := g.look(d, pkt, now)
	return open || valid
}

// look reads a STUN packet, keeps what follows from it, and says whether it is a
// check that passes before OPEN.
func (g *Gate) look(d direction, pkt []byte, now time.Time) bool {
	c, ok := parseCheck(pkt)
	if !ok {
		return false
	}
	switch c.class {
	case request:
		return g.asked(d, &c, len(pkt), now)
	case success, failure:
		return g.answered(d, &c, len(pkt), now)
	case indication: // keep-alives (RFC 8445 §11), of which there is no need before OPEN
	}
	return false
}

// asked checks a request of size bytes, and waits for its answer.
func (g *Gate) asked(d direction, c *check, size int, now time.Time) bool {
	to, from, ok := c.ufrags()
	if !ok {
		return false
	}
	receiver, pwd, known := g.Directory(to)
	sender, _, both := g.Directory(from)
	if !known || !both || receiver == sender || (d == fromClient && sender != g.Member) || (d == fromPeer && receiver != g.Member) {
		return false
	}
	if !c.authentic(pwd) || !g.admit(d, size, now) {
		return false
	}
	if g.awaiting == nil {
		g.awaiting = new([2]awaiting)
	}
	g.awaiting[d].add(c.id, pwd, now)
	return true
}

// answered checks an answer of size bytes to a request that went the other way.
func (g *Gate) answered(d direction, c *check, size int, now time.Time) bool {
	asker := fromClient + fromPeer - d
	if g.awaiting == nil {
		return false
	}
	pwd, asked, ok := g.awaiting[asker].find(c.id, now)
	if !ok {
		return false
	}
	if c.class == failure { // a role conflict or the like; it opens nothing
		return g.admit(d, size, now)
	}
	if !c.authentic(pwd) || !g.admit(d, size, now) {
		return false
	}
	g.consent(fromPeer, asked)
	if d == fromPeer {
		g.consent(fromClient, asked)
		g.bytes = 0 // for the checks after a loss of consent
	}
	return true
}

// consent opens a direction from the time of the request on: an answer that is repeated
// does not prolong it.
func (g *Gate) consent(d direction, asked time.Time) {
	if asked.After(g.opened[d]) {
		g.opened[d] = asked
	}
}

// admit holds the bounds of what passes before OPEN. Only valid checks get here, so that
// others can't use them up.
func (g *Gate) admit(d direction, size int, now time.Time) bool {
	if g.open(d, now) {
		return true
	}
	full := g.rate[d]
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > (checkBurst-1)*checkEvery || g.bytes+size > maxCheckBytes {
		return false
	}
	g.rate[d] = full.Add(checkEvery)
	g.bytes += size
	return true
}

// add puts a request into the ring; one that is sent again keeps its place and time.
func (a *awaiting) add(id transaction, pwd string, now time.Time) {
	for i := range a.list {
		if e := &a.list[i]; e.pwd == pwd && e.id == id && now.Sub(e.sent) < consentTime {
			return
		}
	}
	place := &a.list[a.next]
	place.id, place.pwd, place.sent = id, pwd, now
	a.next = (a.next + 1) % maxOutstanding
}

// find returns the password that the answer to id must be made with, and when it was asked.
// Transactions stay: a request that was sent several times is answered as often.
func (a *awaiting) find(id transaction, now time.Time) (pwd string, asked time.Time, ok bool) {
	for i := range a.list {
		if e := &a.list[i]; e.pwd != "" && e.id == id && now.Sub(e.sent) < consentTime {
			return e.pwd, e.sent, true
		}
	}
	return "", time.Time{}, false
}
