package relay

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const publicTTL = 10 * time.Second

// public knows the addresses to tell clients, one a family, and those that are the
// machine's own.
type public struct {
	now    func() time.Time
	lookup func() (v4, v6 netip.Addr) // nil: v4 and v6 are final

	mu     sync.Mutex
	looked time.Time
	v4, v6 netip.Addr

	configured netip.Addr
	home       atomic.Pointer[home] // read for each new peer
}

// home is what belongs to the machine, canonical and sorted.
type home struct {
	addrs []netip.Addr
	nets  []netip.Prefix
}

// newPublic decides for a server that listens on host; configured wins if valid.
func newPublic(host, configured netip.Addr, now func() time.Time) *public {
	p := &public{now: now, configured: configured}
	p.refresh()
	switch {
	case configured.IsValid():
		p.set(configured)
	case !host.IsUnspecified():
		p.set(host)
	default:
		p.lookup = func() (v4, v6 netip.Addr) { return machineAddresses(host.Is6()) }
	}
	return p
}

func (p *public) set(a netip.Addr) {
	if a.Is4() {
		p.v4 = a
	} else {
		p.v6 = a
	}
}

// address returns the IPv6 or the IPv4 address; invalid if there is none. Laptops move
// between networks, so what was found by lookup is looked for again, at most every publicTTL.
func (p *public) address(v6 bool) netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); p.lookup != nil && (p.looked.IsZero() || now.Sub(p.looked) >= publicTTL) {
		p.v4, p.v6 = p.lookup()
		p.looked = now
	}
	if v6 {
		return p.v6
	}
	return p.v4
}

// refresh looks at the machine's interfaces again, and tells whether its addresses are
// others than before.
func (p *public) refresh() bool {
	h := homeOf(p.configured)
	old := p.home.Swap(h)
	return old == nil || !slices.Equal(old.addrs, h.addrs)
}

func homeOf(configured netip.Addr) *home {
	h := &home{nets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}}
	if configured.IsValid() {
		h.addrs = append(h.addrs, configured)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil // then what was configured is all that is known
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := canonicalIP(n.IP)
		if !ok {
			continue
		}
		h.addrs = append(h.addrs, ip)
		bits, _ := n.Mask.Size()
		if prefix, err := ip.Prefix(bits); err == nil && ip.IsPrivate() {
			h.nets = append(h.nets, prefix) // a public network's other members are somebody else's
		}
	}
	slices.SortFunc(h.addrs, netip.Addr.Compare)
	h.addrs = slices.Compact(h.addrs)
	return h
}

// own tells whether a is an address of this machine.
func (p *public) own(a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(p.home.Load().addrs, a, netip.Addr.Compare)
	return found
}

// near tells whether what is sent to a stays in this machine's own networks, and so
// costs nothing.
func (p *public) near(a netip.Addr) bool {
	h := p.home.Load()
	for i := range h.nets {
		if h.nets[i].Contains(a) {
			return true
		}
	}
	return p.own(a)
}

// canonicalIP makes one form of each address.
func canonicalIP(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// best is the address for ICE server URLs. One is enough, and each more makes every
// browser allocate more; IPv4 first, as a LAN has it nearly always.
func (p *public) best() netip.Addr {
	if a := p.address(false); a.IsValid() {
		return a
	}
	return p.address(true)
}

// machineAddresses finds the machine's primary addresses: the one that the route to the
// internet leaves from, else the first of an interface that is up, else loopback.
func machineAddresses(wantV6 bool) (v4, v6 netip.Addr) {
	// A UDP "connect" only looks up the route; nothing is sent. The targets are of RFC 5737
	// and RFC 3849, and reach nobody in any case.
	v4 = routed("udp4", "203.0.113.1:9")
	if wantV6 {
		v6 = routed("udp6", "[2001:db8::1]:9")
	}
	i4, i6 := ofInterfaces()
	if !v4.IsValid() {
		v4 = i4
	}
	if !v6.IsValid() && wantV6 {
		v6 = i6
	}
	if !v4.IsValid() && !v6.IsValid() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), v6
	}
	return v4, v6
}

func routed(network, target string) netip.Addr {
	c, err := net.Dial(network, target)
	if err != nil {
		return netip.Addr{} // no route
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := a.AddrPort().Addr().Unmap()
	if !tellable(ip) {
		return netip.Addr{}
	}
	return ip
}

// ofInterfaces returns the first address of each family that peers could reach, in the
// system's order of interfaces.
func ofInterfaces() (v4, v6 netip.Addr) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return v4, v6 // then there is none to find
	}
	for _, i := range interfaces {
		const need = net.FlagUp | net.FlagRunning
		if i.Flags&need != need {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := canonicalIP(n.IP)
			switch {
			case !ok || !tellable(ip):
			case ip.Is4() && !v4.IsValid():
				v4 = ip
			case ip.Is6() && !v6.IsValid():
				v6 = ip
			}
		}
	}
	return v4, v6
}

// tellable: link-local addresses need a zone, which an ICE server URL cannot carry.
func tellable(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsLoopback()
}
