package policy

import "net/netip"

// special is a range of addresses that no peer on the Internet has.
type special struct {
	prefix netip.Prefix
	why    Verdict
}

// special4 and special6 are the IANA special-purpose registries (RFC 6890 and what was added
// since), multicast, reserved space, and those IPv6 ranges that carry an IPv4 address past
// a check of the IPv6 one.
var special4 = [...]special{
	{netip.MustParsePrefix("0.0.0.0/8"), Special}, // this host: reaches loopback (CVE-2020-26262)
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), Private}, // shared, RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal}, // has the clouds' metadata services
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.0.0.0/24"), Special},
	{netip.MustParsePrefix("192.0.2.0/24"), Special},
	{netip.MustParsePrefix("192.31.196.0/24"), Special},
	{netip.MustParsePrefix("192.52.193.0/24"), Special},
	{netip.MustParsePrefix("192.88.99.0/24"), Special},
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("192.175.48.0/24"), Special},
	{netip.MustParsePrefix("198.18.0.0/15"), Special},
	{netip.MustParsePrefix("198.51.100.0/24"), Special},
	{netip.MustParsePrefix("203.0.113.0/24"), Special},
	{netip.MustParsePrefix("224.0.0.0/4"), Multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), Special},
}

var special6 = [...]special{
	{netip.MustParsePrefix("::1/128"), Loopback},
	{netip.MustParsePrefix("::/128"), Special},
	{netip.MustParsePrefix("::/96"), Embedded},           // IPv4-compatible, RFC 4291 §2.5.5.1
	{netip.MustParsePrefix("::ffff:0:0:0/96"), Embedded}, // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("64:ff9b::/96"), Embedded},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), Embedded},  // NAT64, RFC 8215
	{netip.MustParsePrefix("100::/64"), Special},
	{netip.MustParsePrefix("100:0:0:1::/64"), Special},
	{netip.MustParsePrefix("2001::/32"), Embedded}, // Teredo, RFC 4380
	{netip.MustParsePrefix("2001::/23"), Special},
	{netip.MustParsePrefix("2001:db8::/32"), Special},
	{netip.MustParsePrefix("2002::/16"), Embedded}, // 6to4, RFC 3056
	{netip.MustParsePrefix("2620:4f:8000::/48"), Special},
	{netip.MustParsePrefix("3fff::/20"), Special},
	{netip.MustParsePrefix("5f00::/16"), Special},
	{netip.MustParsePrefix("fc00::/7"), Private},
	{netip.MustParsePrefix("fe80::/10"), LinkLocal},
	{netip.MustParsePrefix("fec0::/10"), Private}, // site-local, deprecated by RFC 3879
	{netip.MustParsePrefix("ff00::/8"), Multicast},
}

// global is all that IANA has assigned to hosts of the public Internet (RFC 4291 §2.4).
var global = netip.MustParsePrefix("2000::/3")

// suspect are the first octets of addresses that are in special4, as most of the Internet is
// in none and classify is asked for packets.
var suspect = func() (table [256]bool) {
	for _, s := range special4 {
		first := int(s.prefix.Addr().As4()[0])
		for i := range 1 << max(0, 8-s.prefix.Bits()) {
			table[first+i] = true
		}
	}
	return table
}()

// classify is P0 for an address that plain returned: Allow, or why not.
func classify(addr netip.Addr) Verdict {
	if !addr.IsValid() {
		return Invalid
	}
	list := special6[:]
	if addr.Is4() {
		if !suspect[addr.As4()[0]] {
			return Allow
		}
		list = special4[:]
	}
	for i := range list {
		if list[i].prefix.Contains(addr) {
			return list[i].why
		}
	}
	if addr.Is6() && !global.Contains(addr) {
		return Special
	}
	return Allow
}

// plain removes the IPv4-mapped form (CVE-2026-27624) and the zone, which no STUN
// attribute carries.
func plain(addr netip.Addr) netip.Addr {
	return addr.Unmap().WithZone("")
}

// Canonical returns addr without the IPv4-mapped form and without a zone, and the IPv4
// addresses that a translator or tunnel would take out of it (CVE-2026-73212): those in ::/96,
// ::ffff:0:0:0/96, 2002::/16, 64:ff9b::/96, 64:ff9b:1::/48 (all four positions of RFC 6052
// §2.2 that it leaves room for) and of Teredo (server and client). embedded is nil for all
// others.
func Canonical(addr netip.Addr) (plainAddr netip.Addr, embedded []netip.Addr) {
	plainAddr = plain(addr)
	list, n := embeddedIn(plainAddr)
	if n == 0 {
		return plainAddr, nil
	}
	return plainAddr, append([]netip.Addr(nil), list[:n]...)
}

// maxEmbedded is how many IPv4 addresses one IPv6 address can be read as.
const maxEmbedded = 4

// embeddedIn is Canonical's second half, without an allocation.
func embeddedIn(addr netip.Addr) (list [maxEmbedded]netip.Addr, n int) {
	if !addr.Is6() {
		return list, 0
	}
	b := addr.As16()
	add := func(b0, b1, b2, b3 byte) {
		list[n] = netip.AddrFrom4([4]byte{b0, b1, b2, b3})
		n++
	}
	guess := func(b0, b1, b2, b3 byte) {
		if b0 != 0 { // zeros are what the other positions leave here
			add(b0, b1, b2, b3)
		}
	}
	high := [6]byte(b[:6])
	switch {
	case high == [6]byte{} && [6]byte(b[6:12]) == [6]byte{} && addr != netip.IPv6Unspecified() && addr != netip.IPv6Loopback(),
		high == [6]byte{} && [6]byte(b[6:12]) == [6]byte{2: 0xff, 3: 0xff},
		high == [6]byte{0, 0x64, 0xff, 0x9b} && [6]byte(b[6:12]) == [6]byte{}:
		add(b[12], b[13], b[14], b[15])
	case high == [6]byte{0, 0x64, 0xff, 0x9b, 0, 1}: // whatever its operator's prefix length
		guess(b[6], b[7], b[9], b[10])   // /48; the byte 8 is skipped, RFC 6052 §2.2
		guess(b[7], b[9], b[10], b[11])  // /56
		guess(b[9], b[10], b[11], b[12]) // /64
		if b[12] != 0 || n == 0 {
			add(b[12], b[13], b[14], b[15]) // /96
		}
	case b[0] == 0x20 && b[1] == 0x02:
		add(b[2], b[3], b[4], b[5])
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // RFC 4380 §4
		add(b[4], b[5], b[6], b[7])
		add(^b[12], ^b[13], ^b[14], ^b[15])
	}
	return list, n
}
