package relay

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"causeway/internal/relay/wire"
)

// What went wrong in TURN servers before this one, by the number of the advisory (spec §4.2), asked of this server over
// the wire. What Go rules out by itself (heap, stack, format strings), and what govulncheck watches (libraries of ours),
// has no entry, nor have mistakes of products around a TURN server.
func TestAdvisories(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *running){
		"CVE-2020-26262, CVE-2021-21382, CVE-2017-12249: loopback by its other names": func(t *testing.T, r *running) {
			for _, addr := range []string{"0.0.0.0", "127.0.0.1", "127.1.2.3"} {
				r.reachesNot(t, addr)
			}
			six := start(t, func(c *Config) { c.Listen = "[::1]:0" })
			for _, addr := range []string{"::", "::1"} {
				six.reachesNot(t, addr)
			}
		},
		"CVE-2026-27624, GHSA-w4hf-cr3w-6h79: loopback as an IPv4-mapped address": func(t *testing.T, r *running) {
			r.reachesNot(t, "::ffff:127.0.0.1")
			start(t, func(c *Config) { c.Listen = "[::1]:0" }).reachesNot(t, "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254")
		},
		"CVE-2026-73212: IPv4 in other IPv6 addresses": func(t *testing.T, _ *running) {
			start(t, func(c *Config) { c.Listen = "[::1]:0" }).reachesNot(t,
				"::127.0.0.1", "2002:7f00:1::1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "2001:0:808:808::80ff:fffe")
		},
		"CVE-2026-43994: a nonce of any length, before who sends it is known": func(t *testing.T, r *running) {
			for _, n := range []int{0, 1, 128, 763, 1200} {
				c := r.as("udp", "a")
				res := c.do(stun.MethodAllocate, udpTransport, stun.NewUsername(c.username), stun.NewRealm(r.Realm()),
					attr{stun.AttrNonce, bytes.Repeat([]byte("n"), n)}, stun.NewLongTermIntegrity(c.username, r.Realm(), c.password))
				if code := codeOf(res); code != stun.CodeStaleNonce {
					t.Errorf("%d bytes: %d, want 438", n, code)
				}
			}
			if r.as("udp", "a").allocate() != 0 {
				t.Error("it serves no more")
			}
		},
		"CVE-2026-73215: ports cannot be reserved": func(t *testing.T, r *running) {
			for _, a := range []stun.Setter{portPair, attr{stun.AttrReservationToken, make([]byte, 8)}} {
				if code := r.as("udp", "a").request(stun.MethodAllocate, udpTransport, a); code != stun.CodeInsufficientCapacity {
					t.Errorf("%d, want 508", code)
				}
			}
			if n := r.Allocations(); n != 0 {
				t.Errorf("%d allocations are left", n)
			}
		},
		"CVE-2026-73216: the quota counts allocations, not connections": func(t *testing.T, _ *running) {
			r := start(t, func(c *Config) { c.Limits.AllocationsPerHolder = 2 })
			user, pass := r.mint("a", time.Hour)
			for range 2 {
				c := r.raw("udp", user, pass) // over UDP, an allocation outlives its socket
				if code := c.allocate(); code != 0 {
					t.Fatal(code)
				}
				_ = c.conn.Close()
			}
			if code := r.raw("udp", user, pass).allocate(); code != stun.CodeAllocQuotaReached || r.Allocations() != 2 {
				t.Errorf("%d with %d allocations, want 486 with 2", code, r.Allocations())
			}
		},
		"GHSA-hpq3-g7x4-h7xx: nothing is resumed (RFC 8016)": func(t *testing.T, r *running) {
			for range 50 {
				if code := r.as("udp", "a").request(stun.MethodAllocate, udpTransport, attr{wire.AttrMobilityTicket, make([]byte, 16)}); code != 405 {
					t.Fatalf("%d, want 405", code)
				}
			}
			if n := r.Allocations(); n != 0 {
				t.Errorf("%d allocations are left", n)
			}
		},
		"GHSA-5x2p-4vqj-f6m4: a DTLS handshake leaves nothing behind": func(t *testing.T, r *running) {
			c := r.raw("udp", "", "")
			for range 100 {
				c.send(append([]byte{22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 1}, make([]byte, 49)...)) // ClientHello without a cookie
			}
			r.waitCount("drops_total", "malformed", 100)
			nothing(t, c.conn)
		},
		"CVE-2026-104074, CVE-2020-4067: padding is zero, whatever was in the buffer": func(t *testing.T, r *running) {
			c, _ := r.made("udp", "a")
			c.send(bytes.Repeat([]byte{0xEE}, 1200))
			for _, attrs := range [][]stun.Setter{nil, {attr{0x7001, nil}}, {attr{0x7001, nil}, attr{0x7003, nil}, attr{0x7005, nil}}} {
				for _, m := range []stun.Method{stun.MethodCreatePermission, stun.MethodChannelBind} {
					c.request(m, attrs...)
					unpadded(t, c.last.Raw)
				}
			}
		},
		"CVE-2020-6061, CVE-2020-6062: the relay's port answers no HTTP": func(t *testing.T, r *running) {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			if res, err := client.Get("http://" + r.at().String() + "/"); err == nil {
				_ = res.Body.Close()
				t.Errorf("status %d", res.StatusCode)
			}
			c, err := net.Dial("tcp", r.at().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write([]byte("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		},
		"pion/turn #570, #587, CVE-2026-100251: no relayed TCP (RFC 6062), for nobody": func(t *testing.T, r *running) {
			if code := r.as("tcp", "a").request(stun.MethodAllocate, tcpTransport); code != stun.CodeUnsupportedTransProto {
				t.Errorf("allocate: %d, want 442", code)
			}
			c, _ := r.made("tcp", "b")
			for range 2 { // the second one hung that server
				if code := c.request(stun.MethodConnect, peerAt("8.8.8.8:80")); code != stun.CodeBadRequest {
					t.Errorf("connect: %d, want 400", code)
				}
			}
			r.reachesNot(t, "169.254.169.254")
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t, nil)) })
	}
}

// reachesNot asks for peers in each way there is.
func (r *running) reachesNot(t *testing.T, addrs ...string) {
	t.Helper()
	of := family(1)
	if r.at().Addr().Is6() {
		of = family(2)
	}
	c, _ := r.made("udp", "reaches not", of)
	before := r.count("drops_total", "no_permission")
	for _, addr := range addrs {
		p := peerAttr(netip.AddrPortFrom(netip.MustParseAddr(addr), 40000))
		for _, attempt := range []struct {
			method stun.Method
			attrs  []stun.Setter
		}{{stun.MethodCreatePermission, []stun.Setter{p}}, {stun.MethodChannelBind, []stun.Setter{p, channel(0x4000)}}} {
			if code := c.request(attempt.method, attempt.attrs...); code != stun.CodeForbidden && code != stun.CodePeerAddrFamilyMismatch {
				t.Errorf("%s %s: %d, want 403 or 443", attempt.method, addr, code)
			}
		}
		c.send(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), p, attr{stun.AttrData, []byte("x")}).Raw)
	}
	r.waitCount("drops_total", "no_permission", before+float64(len(addrs)))
	if n := r.count("packets_total", "to_peer") + r.count("packets_total", "hairpin"); n != 0 {
		t.Errorf("%v packets went out", n)
	}
}

// unpadded checks that a message has nothing but zeros between its attributes.
func unpadded(t *testing.T, raw []byte) {
	t.Helper()
	for b := raw[20:]; len(b) >= 4; {
		n := int(b[2])<<8 | int(b[3])
		end := min(4+(n+3)&^3, len(b))
		if pad := b[min(4+n, end):end]; len(bytes.Trim(pad, "\x00")) > 0 {
			t.Errorf("padding %x of attribute %x", pad, b[:2])
		}
		b = b[end:]
	}
}
