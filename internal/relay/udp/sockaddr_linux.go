//go:build linux && !portable

package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr has room for a sockaddr_in and a sockaddr_in6. Ports are in network order.
type sockaddr [unix.SizeofSockaddrInet6]byte

// put encodes a for a socket, and returns the length; 0 if it cannot reach that.
func (s *sockaddr) put(c *Conn, a netip.AddrPort) uint32 {
	ip := a.Addr()
	is4 := ip.Is4() || ip.Is4In6()
	if !ip.IsValid() || is4 && c.v6 && !c.dual || !is4 && !c.v6 {
		return 0
	}
	binary.BigEndian.PutUint16(s[2:], a.Port())
	if !c.v6 {
		binary.NativeEndian.PutUint16(s[:], unix.AF_INET)
		v4 := ip.As4()
		copy(s[4:8], v4[:])
		clear(s[8:unix.SizeofSockaddrInet4])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(s[:], unix.AF_INET6)
	clear(s[4:8]) // flow label
	v6 := ip.As16()
	copy(s[8:24], v6[:])
	binary.NativeEndian.PutUint32(s[24:], zoneID(ip))
	return unix.SizeofSockaddrInet6
}

// get decodes what the kernel wrote.
func (s *sockaddr) get(n uint32) netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	switch binary.NativeEndian.Uint16(s[:]) {
	case unix.AF_INET:
		if n >= 8 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
		}
	case unix.AF_INET6:
		if n >= 28 {
			return netip.AddrPortFrom(withZone(netip.AddrFrom16([16]byte(s[8:24])).Unmap(), binary.NativeEndian.Uint32(s[24:])), port)
		}
	}
	return netip.AddrPort{}
}

// zoneID is the number of the interface that a link-local address belongs to.
func zoneID(ip netip.Addr) uint32 {
	zone := ip.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// withZone names the interface by its number, which needs no look-up.
func withZone(ip netip.Addr, id uint32) netip.Addr {
	if id == 0 || !ip.IsLinkLocalUnicast() {
		return ip
	}
	return ip.WithZone(strconv.FormatUint(uint64(id), 10))
}

// control has room for the control messages of one call: packet information and
// the size of segments.
type control [96]byte

// hdr returns the control message header at offset n.
func (b *control) hdr(n int) *unix.Cmsghdr { return (*unix.Cmsghdr)(unsafe.Pointer(&b[n])) }

// putSource appends at n the address to send from (ip(7) IP_PKTINFO, RFC 3542 §6.2)
// and returns where it ends.
func (b *control) putSource(c *Conn, n int, from netip.Addr) int {
	h := b.hdr(n)
	if c.v6 {
		const size = unix.SizeofInet6Pktinfo
		h.Level, h.Type = unix.SOL_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(size))
		data := b[n+unix.CmsgLen(0):]
		ip := from.As16()
		copy(data, ip[:])
		binary.NativeEndian.PutUint32(data[16:], zoneID(from))
		return n + unix.CmsgSpace(size)
	}
	const size = unix.SizeofInet4Pktinfo
	h.Level, h.Type = unix.SOL_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(size))
	data := b[n+unix.CmsgLen(0):]
	clear(data[:size]) // any interface
	ip := from.As4()
	copy(data[4:], ip[:]) // ipi_spec_dst
	return n + unix.CmsgSpace(size)
}

// putSegment appends at n the size of a train's datagrams (udp(7) UDP_SEGMENT) and
// returns where it ends.
func (b *control) putSegment(n, size int) int {
	h := b.hdr(n)
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[n+unix.CmsgLen(0):], uint16(size))
	return n + unix.CmsgSpace(2)
}

// get reads the n bytes that the kernel wrote: the size of a train's datagrams, 0 if
// it is none, and the address that it was sent to, invalid if not asked for.
func (b *control) get(n int) (segment int, local netip.Addr) {
	for at := 0; at+unix.CmsgLen(0) <= n; {
		h := b.hdr(at)
		if uint64(h.Len) < uint64(unix.CmsgLen(0)) || uint64(h.Len) > uint64(n-at) {
			break
		}
		data := b[at+unix.CmsgLen(0) : at+int(h.Len)]
		size := len(data)
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && size >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.SOL_IP && h.Type == unix.IP_PKTINFO && size >= unix.SizeofInet4Pktinfo:
			local = netip.AddrFrom4([4]byte(data[8:12])) // ipi_addr: from the header
		case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_PKTINFO && size >= unix.SizeofInet6Pktinfo:
			local = withZone(netip.AddrFrom16([16]byte(data[:16])).Unmap(), binary.NativeEndian.Uint32(data[16:]))
		}
		at += unix.CmsgSpace(size)
	}
	return max(segment, 0), local
}
