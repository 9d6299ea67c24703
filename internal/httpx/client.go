package httpx

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies tells who is asking. The X-Forwarded-* headers count only as far as
// they were written by proxies in Trusted; what lies beyond is the client's claim
// and is not looked at. So a forged header gains nothing.
type Proxies struct {
	Trusted []netip.Prefix
}

func (p Proxies) trusts(a netip.Addr) bool {
	for _, t := range p.Trusted {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

// Peer returns the address at the other end of the TCP connection, unmapped; the
// zero Addr if it has none (a Unix socket, a test).
func Peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// Client returns the client's address: the peer's, or, going backwards through
// X-Forwarded-For while the hop is trusted, the first that is not.
func (p Proxies) Client(r *http.Request) netip.Addr {
	addr := Peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusts(addr); i-- {
		next, ok := parseHop(hops[i])
		if !ok {
			break
		}
		addr = next
	}
	return addr
}

// parseHop reads one element of X-Forwarded-For: an address, perhaps with a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}

// Origin returns the origin (scheme://host[:port]) under which the client reached
// the server. Behind a trusted proxy that is what X-Forwarded-Proto and
// X-Forwarded-Host say.
func (p Proxies) Origin(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if p.trusts(Peer(r)) {
		if s := lastValue(r.Header, "X-Forwarded-Proto"); s == "http" || s == "https" {
			scheme = s
		}
		if h := lastValue(r.Header, "X-Forwarded-Host"); validHost(h) {
			host = h
		}
	}
	return scheme + "://" + host
}

// lastValue returns the last element of a list header: the one that the nearest
// proxy wrote.
func lastValue(h http.Header, name string) string {
	v := strings.Join(h.Values(name), ",")
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// validHost reports whether h can be the host of an origin. net/http checks the
// Host header in the same way before a handler sees it.
func validHost(h string) bool {
	return h != "" && !strings.ContainsFunc(h, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"/\<>?#@%^{}|`+"`", c)
	})
}

// IsLoopbackHost reports whether a host, perhaps with a port, names this machine
// only: localhost, *.localhost (RFC 6761 §6.3) or a loopback address.
func IsLoopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// ClientBehind returns the client's address where exactly so many proxies in front have added to
// X-Forwarded-For: the hops-th from its end, or its first if it is shorter. It is for
// platforms whose front ends have no addresses that one could list.
func ClientBehind(r *http.Request, hops int) netip.Addr {
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if hops <= 0 || list[0] == "" {
		return Peer(r)
	}
	addr, ok := parseHop(list[max(0, len(list)-hops)])
	if !ok {
		return netip.Addr{}
	}
	return addr
}
