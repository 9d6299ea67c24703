package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Level says how narrow the relay's world is; each contains the ones below it.
type Level int

// The levels. The zero value leaves the choice to whoever holds the default, and counts
// as P2 here.
const (
	Default Level = iota
	P0            // special-purpose and own addresses are refused
	P1            // and ports of well-known services
	P2            // and addresses that no other member of the session proved
	P3            // and all but ICE checks until one succeeded (Gate)
	P4            // and everything but relayed addresses of the session
)

var levelNames = [...]string{"default", "p0", "p1", "p2", "p3", "p4"}

// String is "p0" to "p4", or "default".
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("level(%d)", int(l))
	}
	return levelNames[l]
}

// ParseLevel is the reverse of String, whatever the case.
func ParseLevel(text string) (Level, error) {
	if i := slices.Index(levelNames[:], strings.ToLower(text)); i >= 0 {
		return Level(i), nil
	}
	return Default, fmt.Errorf("peer policy %q: want p0, p1, p2, p3 or p4", text)
}

// Verdict is Allow, or the reason of a refusal.
type Verdict uint8

// The verdicts, a closed set.
const (
	Allow     Verdict = iota
	Invalid           // no address, or port 0
	Own               // the node's own address, and no relayed address of the session
	Loopback          // not proven, as the following two
	Private           // RFC 1918, RFC 4193, RFC 6598, site-local
	LinkLocal         //
	Multicast         //
	Special           // other special-purpose ranges, and IPv6 outside 2000::/3
	Embedded          // IPv6 that carries an IPv4 address
	Denied            // by the operator
	Port              // of a well-known service
	Unproven          // P2: no other member's
	Closed            // P4: no relayed address of the session
	verdicts          // how many there are
)

var verdictNames = [verdicts]string{"allow", "invalid", "own", "loopback", "private", "link_local", "multicast", "special", "embedded", "denied", "port", "unproven", "closed"}

// String is the label of metrics.
func (v Verdict) String() string {
	if v >= verdicts {
		return "unknown"
	}
	return verdictNames[v]
}

// Verdicts returns them all, for whoever makes counters beforehand.
func Verdicts() []Verdict {
	all := make([]Verdict, verdicts)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// Facts is what a relay knows about the session of an allocation. The addresses that it is
// asked about have no IPv4-mapped form and no zone. "Another member" is one of the same
// session that is not the allocation's own. Without exact, the port is 0 and any will do.
// Implementations do not allocate, as they are asked for packets.
type Facts interface {
	// Relayed: whether peer is a live relayed address of another member, at this node.
	Relayed(peer netip.AddrPort, exact bool) bool
	// Proven: whether another member's authenticated Allocate came from peer to this node
	// and its allocation, or its grant, lives. Such a request carries a nonce that was
	// sent to that address, so nobody can prove a victim's. If exact, it came over UDP and
	// from that very port; a port of a TCP connection says nothing about UDP.
	Proven(peer netip.AddrPort, exact bool) bool
	// Signaled: whether another member's signaling connection came from addr. Only asked
	// about public addresses.
	Signaled(addr netip.Addr) bool
	// Own: whether addr belongs to this node: its interfaces, and the public address
	// that it is reached at.
	Own(addr netip.Addr) bool
}

// Policy is the operator's part of the decision. The zero Policy is P2. It is not to be
// changed once in use.
type Policy struct {
	Level Level
	// Allow are addresses that peers may have whatever P0 to P2 say, such as an SFU's; not
	// the node's own, and not at P4.
	Allow []netip.Prefix
	// Deny are further addresses that are refused, such as the control plane's.
	Deny []netip.Prefix
	// AllowLoopback takes loopback addresses for public ones that are not the node's own.
	// For tests on one machine: it opens every UDP service on it to whoever has a credential.
	AllowLoopback bool
}

// Peer says whether an allocation may exchange packets with peer; f knows its session. If
// portKnown is false, peer's port is not looked at. Peer does not allocate.
func (p Policy) Peer(f Facts, peer netip.AddrPort, portKnown bool) Verdict {
	addr, port := plain(peer.Addr()), peer.Port()
	if !portKnown {
		port = 0
	}
	if !addr.IsValid() || portKnown && port == 0 {
		return Invalid
	}
	at := netip.AddrPortFrom(addr, port)
	if f.Relayed(at, portKnown) {
		return Allow
	}
	if p.Level == P4 {
		return Closed
	}
	if p.denies(addr) {
		return Denied
	}
	kind := classify(addr)
	if kind == Loopback && p.AllowLoopback {
		kind = Allow
	} else if local(kind) && f.Proven(at, portKnown) {
		return Allow
	} else if f.Own(addr) {
		return Own
	}
	if p.allows(f, addr, kind) {
		return Allow
	}
	if kind != Allow {
		return kind
	}
	return p.public(f, at, portKnown)
}

// local kinds of addresses are those of a LAN or of one machine.
func local(kind Verdict) bool {
	return kind == Private || kind == Loopback || kind == LinkLocal
}

// public is P1 and P2, for an address that may be on the Internet.
func (p Policy) public(f Facts, at netip.AddrPort, portKnown bool) Verdict {
	if p.Level == P0 {
		return Allow
	}
	if portKnown && service(at.Port()) && !f.Proven(at, true) {
		return Port
	}
	if p.Level == P1 {
		return Allow
	}
	// The address alone: a symmetric NAT shows the relay another port than it showed
	// when the member allocated.
	if f.Proven(netip.AddrPortFrom(at.Addr(), 0), false) || f.Signaled(at.Addr()) {
		return Allow
	}
	return Unproven
}

func (p Policy) denies(addr netip.Addr) bool {
	if len(p.Deny) == 0 {
		return false
	}
	if contains(p.Deny, addr) {
		return true
	}
	list, n := embeddedIn(addr)
	return slices.ContainsFunc(list[:n], func(a netip.Addr) bool { return contains(p.Deny, a) })
}

// allows is the operator's exception. What it lets through must not be a disguise: an
// operator that allows its NAT64 prefix did not allow 64:ff9b::10.0.0.1.
func (p Policy) allows(f Facts, addr netip.Addr, kind Verdict) bool {
	if len(p.Allow) == 0 || kind == Multicast || addr.IsUnspecified() || !contains(p.Allow, addr) {
		return false
	}
	list, n := embeddedIn(addr)
	for _, a := range list[:n] {
		if (classify(a) != Allow || f.Own(a)) && !contains(p.Allow, a) {
			return false
		}
	}
	return true
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for i := range list {
		if list[i].Contains(addr) {
			return true
		}
	}
	return false
}

// ports are UDP services from 1024 on that answer strangers with more than they were
// sent, or that trust whoever can reach them; all below 1024 count as such.
var ports = [...]uint16{
	1194, 1434, 1604, 1701, 1719, 1812, 1813, 1900, 2049, 2123, 2152, 3283, 3386, 3389, 3478, 3479, 3702, 4500, 4789, 5060,
	5061, 5093, 5349, 5350, 5351, 5353, 5355, 5683, 6081, 6881, 8472, 10001, 10074, 11211, 17185, 19132, 20800, 27015, 27960, 30718,
	32410, 32414, 33848, 37810, 47808, 51820,
}

// service is P1: whether a port is one of a well-known UDP service.
func service(port uint16) bool {
	if port < 1024 {
		return true
	}
	_, found := slices.BinarySearch(ports[:], port)
	return found
}
