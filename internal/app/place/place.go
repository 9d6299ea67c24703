// Package place knows where a server listens, and what its addresses are made of: those to open, those
// that links begin with, and the one under which a LAN reaches this machine.
package place

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"causeway/internal/httpx"
)

// Listen opens addr (host:port). "localhost" is opened on both loopback addresses
// where the machine has both, so that the name leads here whichever of them a
// browser tries first.
func Listen(ctx context.Context, addr string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	// No TCP keep-alive: HTTP has its idle time-out and the hub its pings, and setting
	// it costs five system calls a connection.
	var lc net.ListenConfig
	lc.KeepAlive = -1
	if host != "localhost" {
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	l4, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	l6, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(l4.Addr().(*net.TCPAddr).Port)))
	if err != nil { // no IPv6 here, or the port is taken there: IPv4 alone will do
		return []net.Listener{l4}, nil
	}
	return []net.Listener{l4, l6}, nil
}

// Place is where the server listens.
type Place struct {
	Host   string // as configured; "" is all interfaces
	Port   int
	Scheme string // http or https
	Public string // the configured public origin; may be empty
}

// Of returns the place of a listener that was opened for addr; public is the configured public origin.
func Of(addr string, l net.Listener, tls bool, public string) (Place, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return Place{}, err
	}
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return Place{}, errors.New("not a TCP listener")
	}
	p := Place{Host: host, Port: tcp.Port, Scheme: "http", Public: strings.TrimRight(public, "/")}
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		p.Host = ""
	}
	if tls {
		p.Scheme = "https"
	}
	return p, nil
}

// origin returns the server's origin under host.
func (p Place) origin(host string) string {
	if (p.Scheme == "http" && p.Port == 80) || (p.Scheme == "https" && p.Port == 443) {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return p.Scheme + "://" + host
	}
	return fmt.Sprintf("%s://%s", p.Scheme, net.JoinHostPort(host, strconv.Itoa(p.Port)))
}

// URLs returns the addresses to open, the best for somebody at this machine first.
func (p Place) URLs(lan netip.Addr) []string {
	var urls []string
	if p.Host == "" {
		urls = append(urls, p.origin("localhost"))
		if lan.IsValid() {
			urls = append(urls, p.origin(lan.String()))
		}
	} else {
		urls = append(urls, p.origin(p.Host))
	}
	if p.Public != "" {
		urls = append(urls, p.Public)
	}
	return urls
}

// LinkBase returns what invite links begin with, for a request with the given
// origin: never localhost where the server can be reached from elsewhere.
func (p Place) LinkBase(origin string, lan func() netip.Addr) string {
	if p.Public != "" {
		return p.Public
	}
	_, host, _ := strings.Cut(origin, "://")
	if !httpx.IsLoopbackHost(host) {
		return origin
	}
	switch {
	case p.Host == "":
		if a := lan(); a.IsValid() {
			return p.origin(a.String())
		}
	case !httpx.IsLoopbackHost(p.Host):
		return p.origin(p.Host)
	}
	return origin
}

// LAN returns the address of this machine that others are most likely to
// reach it under: the one that traffic to the internet leaves from, else the first
// of an interface that is up; the zero Addr if there is only loopback. It is asked
// again each time, because laptops move.
func LAN() netip.Addr {
	// Connecting a UDP socket looks up the route and sends nothing. The addresses
	// are documentation's (RFC 5737, RFC 3849), which only a default route covers.
	for _, probe := range []string{"198.51.100.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", probe)
		if err != nil {
			continue
		}
		a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		c.Close()
		if usable(a) {
			return a
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}
	}
	var best netip.Addr
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr.String())
		if err != nil || !usable(prefix.Addr().Unmap()) {
			continue
		}
		if a := prefix.Addr().Unmap(); !best.IsValid() || (a.Is4() && !best.Is4()) {
			best = a
		}
	}
	return best
}

func usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}
