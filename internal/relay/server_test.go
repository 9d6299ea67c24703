package relay

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"causeway/internal/relay/credential"

	"github.com/pion/stun/v4"
)

// exchange sends from a to b and checks what b reads, and from whom.
func exchange(t *testing.T, a, b net.PacketConn, payload []byte) {
	t.Helper()
	if _, err := a.WriteTo(payload, b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := b.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, from, err := b.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf[:n], payload) {
		t.Errorf("received %d bytes that differ from the %d sent", n, len(payload))
	}
	if from.String() != a.LocalAddr().String() {
		t.Errorf("received from %v, want %v", from, a.LocalAddr())
	}
}

func TestTransfer(t *testing.T) {
	for _, network := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "tcp"}} {
		t.Run(network[0]+"-"+network[1], func(t *testing.T) {
			r := start(t, nil)
			a, b := r.pair(network[0], network[1])
			payload := make([]byte, 1200)
			_, _ = rand.Read(payload)
			exchange(t, a, b, payload)
			exchange(t, b, a, payload[:5]) // pion's own client holds back shorter frames on TCP
			// The client binds channels behind its first sends.
			wait(t, "channels", func() bool { return r.channels() == 2 })
			for i := range 20 {
				exchange(t, a, b, payload[:5+i*53])
				exchange(t, b, a, payload[:1200-i*53])
			}
			// A packet may be read before it is counted.
			r.waitCount("packets_total", "hairpin", 42)
			if n := r.count("packets_total", "hairpin"); n != 42 {
				t.Errorf("%v packets, want 42", n)
			}
			for _, name := range dropNames {
				if n := r.count("drops_total", name); n != 0 {
					t.Errorf("%v drops by %s", n, name)
				}
			}
		})
	}
}

// Peers talk although the public address is not this machine's, as behind 1:1 NAT.
func TestPublicAddressElsewhere(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", ":0"} {
		r := start(t, func(c *Config) { c.Listen, c.PublicIP = listen, netip.MustParseAddr("203.0.113.7") })
		a, b := r.pair("udp", "udp")
		if got := a.LocalAddr().(*net.UDPAddr).IP.String(); got != "203.0.113.7" {
			t.Errorf("relayed address %s", got)
		}
		exchange(t, a, b, []byte("hello"))
		exchange(t, b, a, []byte("hello, too"))
	}
}

func TestIPv6(t *testing.T) {
	r := start(t, func(c *Config) { c.Listen = "[::1]:0" })
	ca, a := r.allocate("udp", "a")
	cb, b := r.allocate("tcp", "b")
	if err := errors.Join(ca.CreatePermission(b.LocalAddr()), cb.CreatePermission(a.LocalAddr())); err != nil {
		t.Fatal(err)
	}
	exchange(t, b, a, []byte("six"))
	if got := r.URLs()[1]; got[:11] != "turn:[::1]:" {
		t.Errorf("URL %q", got)
	}
}

// A relayed peer and a peer at the address that it proved by its own allocation.
func TestProvenPeer(t *testing.T) {
	r := start(t, nil)
	ca, a := r.allocate("udp", "a")
	id := r.grant("b", nil)
	user, pass := r.credential(id)
	b := r.raw("udp", user, pass)
	if code := b.allocate(); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	if err := ca.CreatePermission(b.conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	exchange(t, a, b.conn, []byte("from relayed to direct"))
	exchange(t, b.conn, a, []byte("from direct to relayed"))

	// The proof is good for as long as the member is there, with or without an allocation.
	if code := b.request(stun.MethodRefresh, lifetime(0)); code != 0 {
		t.Fatalf("refresh: %d", code)
	}
	exchange(t, b.conn, a, []byte("without an allocation"))
	r.Delete(id)
	for _, payload := range []string{"late", "too late"} {
		if _, err := b.conn.WriteTo([]byte(payload), a.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	r.waitDenied("own", 2)
}

func TestForeignPeer(t *testing.T) {
	r := start(t, nil)
	ca, a := r.allocate("udp", "a")
	r.allocate("udp", "b") // proves a port of 127.0.0.1
	foreign, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	// A permission has no port, so it cannot be refused.
	if err := ca.CreatePermission(foreign.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.WriteTo([]byte("out"), foreign.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	r.waitDenied("own", 1)
	nothing(t, foreign)

	relayed := a.LocalAddr().(*net.UDPAddr)
	if _, err := foreign.WriteTo([]byte("in"), relayed); err != nil {
		t.Fatal(err)
	}
	r.waitDenied("own", 2)
	nothing(t, a)
	if n := r.count("bytes_total", "to_peer") + r.count("bytes_total", "to_client"); n != 0 {
		t.Errorf("%v bytes relayed", n)
	}
}

func TestForbiddenPeers(t *testing.T) {
	r := start(t, nil)
	user, pass := r.mint("a", time.Minute)
	c := r.raw("udp", user, pass)
	if code := c.allocate(); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	tests := []struct {
		peer string
		want stun.ErrorCode
	}{
		{"169.254.169.254:80", stun.CodeForbidden}, // metadata service
		{"169.254.1.1:53", stun.CodeForbidden},
		{"10.0.0.1:22", stun.CodeForbidden},
		{"192.168.1.1:80", stun.CodeForbidden},
		{"0.0.0.0:80", stun.CodeForbidden},
		{"127.0.0.2:80", stun.CodeForbidden},
		{"255.255.255.255:9", stun.CodeForbidden},
		{"224.0.0.251:5353", stun.CodeForbidden},
		{"198.51.100.1:443", stun.CodeForbidden},
		{"[::ffff:169.254.169.254]:80", stun.CodeForbidden},
		{"[::ffff:10.0.0.1]:22", stun.CodeForbidden},
		{"[::ffff:127.0.0.2]:80", stun.CodeForbidden},
		{"[::]:80", stun.CodePeerAddrFamilyMismatch},
		{"[::1]:80", stun.CodePeerAddrFamilyMismatch},
		{"[fe80::1]:80", stun.CodePeerAddrFamilyMismatch},
		{"[::7f00:1]:80", stun.CodePeerAddrFamilyMismatch},                 // v4-compatible
		{"[2002:7f00:1::]:80", stun.CodePeerAddrFamilyMismatch},            // 6to4
		{"[64:ff9b::7f00:1]:80", stun.CodePeerAddrFamilyMismatch},          // NAT64
		{"[2001:0:0:0:0:0:80ff:fffe]:80", stun.CodePeerAddrFamilyMismatch}, // Teredo
	}
	for _, tt := range tests {
		if code := c.request(stun.MethodCreatePermission, peerAt(tt.peer)); code != tt.want {
			t.Errorf("CreatePermission %s: %d, want %d", tt.peer, code, tt.want)
		}
		if code := c.request(stun.MethodChannelBind, channel(0x4000), peerAt(tt.peer)); code != tt.want {
			t.Errorf("ChannelBind %s: %d, want %d", tt.peer, code, tt.want)
		}
	}
	if n := r.count("refusals_total", "peer"); n != 24 {
		t.Errorf("%v refusals counted, want 24", n)
	}
}

// On an IPv6 allocation every IPv6 form is looked at.
func TestForbiddenPeersIPv6(t *testing.T) {
	r := start(t, func(c *Config) { c.Listen = "[::1]:0" })
	user, pass := r.mint("a", time.Minute)
	c := r.raw("udp", user, pass)
	if code := c.request(stun.MethodAllocate, udpTransport, family(2)); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	for _, p := range []string{"[fe80::1]:80", "[::]:80", "[fd00:ec2::254]:80", "[::7f00:1]:80", "[2002:7f00:1::]:80",
		"[64:ff9b::7f00:1]:80", "[2001:0:0:0:0:0:80ff:fffe]:80", "[ff02::1]:80"} {
		if code := c.request(stun.MethodCreatePermission, peerAt(p)); code != stun.CodeForbidden {
			t.Errorf("CreatePermission %s: %d, want 403", p, code)
		}
		if code := c.request(stun.MethodChannelBind, channel(0x4000), peerAt(p)); code != stun.CodeForbidden {
			t.Errorf("ChannelBind %s: %d, want 403", p, code)
		}
	}
	if code := c.request(stun.MethodCreatePermission, peerAt("[::ffff:127.0.0.1]:80")); code != stun.CodePeerAddrFamilyMismatch {
		t.Errorf("CreatePermission of an IPv4-mapped peer: %d, want 443", code)
	}
}

// With TURN REST what runs outlives its credential, here of 60 s, and the secret as well.
func TestExpiryREST(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := start(t, nil)
			user, pass := r.rest("a", 60*time.Second)
			a, late := r.raw(network, user, pass), r.raw(network, user, pass)
			if code := a.allocate(); code != 0 {
				t.Fatalf("allocate: %d", code)
			}
			r.advance(61 * time.Second)
			r.rotate([]byte("the next secret"))
			for range 2 {
				if code := a.request(stun.MethodRefresh); code != 0 {
					t.Errorf("refresh: %d", code)
				}
				r.advance(9 * time.Minute)
			}
			if code := late.allocate(); code != stun.CodeUnauthorized {
				t.Errorf("a new allocation got %d, want 401", code)
			}
			if n := r.count("refusals_total", "expired"); n != 1 {
				t.Errorf("%v refusals counted as expired, want 1", n)
			}
			// Nor does the old credential make another allocation on the old five-tuple.
			if code := a.request(stun.MethodRefresh, lifetime(0)); code != 0 {
				t.Errorf("refresh to 0: %d", code)
			}
			if code := a.allocate(); code != stun.CodeUnauthorized {
				t.Errorf("an allocation after the end got %d, want 401", code)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	r := start(t, nil)
	user, pass := r.rest("a", time.Minute)
	rest := fmt.Sprintf("%d:somebody", r.now().Add(time.Minute).Unix())
	noHolder := fmt.Sprint(r.now().Add(time.Minute).Unix())
	secret := r.getSecrets()[0]
	tests := []struct {
		name, user, pass string
		want             stun.ErrorCode
		refusal          refusal
	}{
		{"ours", user, pass, 0, ""},
		{"another minter's", rest, credential.Password(secret, rest), 0, ""},
		{"time only", noHolder, credential.Password(secret, noHolder), 0, ""},
		{"wrong password", user, "x" + pass, 401, refusedPassword},
		{"other secret", rest, credential.Password([]byte("other"), rest), 401, refusedPassword},
		{"no time", "alice", credential.Password(secret, "alice"), 401, refusedUsername},
		{"long ago", "17:alice", credential.Password(secret, "17:alice"), 401, refusedExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := r.count("refusals_total", string(tt.refusal))
			if code := r.raw("udp", tt.user, tt.pass).allocate(); code != tt.want {
				t.Errorf("allocate: %d, want %d", code, tt.want)
			}
			if tt.refusal != "" && r.count("refusals_total", string(tt.refusal)) != before+1 {
				t.Errorf("not counted as %q", tt.refusal)
			}
		})
	}
	t.Run("previous secret", func(t *testing.T) {
		r.rotate([]byte("next"), secret)
		if code := r.raw("udp", user, pass).allocate(); code != 0 {
			t.Errorf("allocate: %d", code)
		}
	})
	t.Run("no secret", func(t *testing.T) {
		r.rotate(nil)
		if code := r.raw("udp", user, pass).allocate(); code != 401 {
			t.Errorf("allocate: %d, want 401", code)
		}
	})
	t.Run("other realm", func(t *testing.T) {
		c := r.raw("udp", user, pass)
		c.allocate()
		c.realm = stun.NewRealm("elsewhere")
		if code := codeOf(c.do(stun.MethodAllocate, udpTransport)); code != 401 {
			t.Errorf("allocate: %d, want 401", code)
		}
	})
}

// With a credential and a nonce, but without the one that was sent to its own address, a
// client with a forged one gets nothing, so that no address becomes a peer.
func TestForgedSource(t *testing.T) {
	r := start(t, nil)
	user, pass := r.mint("a", 2*time.Hour)
	mine, forged := r.raw("udp", user, pass), r.raw("udp", user, pass)
	mine.allocate()
	forged.realm, forged.nonce = mine.realm, mine.nonce
	answer := forged.do(stun.MethodAllocate, udpTransport)
	if code := codeOf(answer); code != stun.CodeStaleNonce {
		t.Fatalf("allocate: %d, want 438", code)
	}
	if r.Allocations() != 1 || r.count("refusals_total", "nonce") != 1 {
		t.Error("not refused for its nonce")
	}
	// Having received the challenge, it is as good as any, for an hour.
	if err := forged.nonce.GetFrom(answer); err != nil {
		t.Fatal(err)
	}
	r.advance(59 * time.Minute)
	if code := forged.allocate(); code != 0 {
		t.Errorf("allocate: %d", code)
	}
	r.advance(3 * time.Minute)
	if code := codeOf(forged.do(stun.MethodRefresh)); code != stun.CodeStaleNonce {
		t.Errorf("refresh with an old nonce: %d, want 438", code)
	}
}

// Somebody else's valid credential does not reach a's allocation.
func TestOtherUserOnFiveTuple(t *testing.T) {
	r := start(t, nil)
	user, pass := r.mint("a", time.Minute)
	c := r.raw("udp", user, pass)
	if code := c.allocate(); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	c.username, c.password = r.mint("b", time.Minute)
	if code := c.request(stun.MethodRefresh, lifetime(0)); code != stun.CodeWrongCredentials {
		t.Errorf("refresh: %d, want 441", code)
	}
	if code := c.allocate(); code != stun.CodeAllocMismatch {
		t.Errorf("allocate: %d, want 437", code)
	}
	if r.Allocations() != 1 {
		t.Error("the allocation is gone")
	}
}

func TestAllocationLimits(t *testing.T) {
	tests := []struct {
		name    string
		limits  Limits
		members [3]string
		reason  refusal
		code    stun.ErrorCode
	}{
		{"holder", Limits{AllocationsPerHolder: 2}, [3]string{"a", "a", "a"}, refusedHolder, stun.CodeAllocQuotaReached},
		{"source", Limits{AllocationsPerSource: 2}, [3]string{"a", "b", "c"}, refusedSource, stun.CodeAllocQuotaReached},
		{"total", Limits{Allocations: 2}, [3]string{"a", "b", "c"}, refusedTotal, stun.CodeInsufficientCapacity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(c *Config) { c.Limits = tt.limits })
			ids := map[string]string{}
			var clients []*raw
			var codes [3]stun.ErrorCode
			for i, m := range tt.members {
				if ids[m] == "" {
					ids[m] = r.grant(m, nil)
				}
				user, pass := r.credential(ids[m])
				clients = append(clients, r.raw([]string{"udp", "tcp", "udp"}[i], user, pass))
				codes[i] = clients[i].allocate()
			}
			if codes != [3]stun.ErrorCode{0, 0, tt.code} {
				t.Errorf("codes %v, want 0, 0, %d", codes, tt.code)
			}
			if n := r.count("refusals_total", string(tt.reason)); n != 1 {
				t.Errorf("%v refusals by %s, want 1", n, tt.reason)
			}
			// What is given back can be had again.
			if code := clients[0].request(stun.MethodRefresh, lifetime(0)); code != 0 {
				t.Fatalf("refresh: %d", code)
			}
			if code := clients[2].allocate(); code != 0 {
				t.Errorf("allocate after release: %d", code)
			}
		})
	}
}

func TestPortRange(t *testing.T) {
	// A range of one port, which is free now.
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(probe.LocalAddr().(*net.UDPAddr).Port)
	_ = probe.Close()
	r := start(t, func(c *Config) { c.MinPort, c.MaxPort = port, port })
	_, a := r.allocate("udp", "a")
	if got := a.LocalAddr().(*net.UDPAddr).Port; got != int(port) {
		t.Errorf("relayed port %d, want %d", got, port)
	}
	user, pass := r.mint("b", time.Minute)
	if code := r.raw("udp", user, pass).allocate(); code != stun.CodeInsufficientCapacity {
		t.Errorf("no port left: %d, want 508", code)
	}
	if n := r.count("refusals_total", "port"); n != 1 {
		t.Errorf("%v refusals by port, want 1", n)
	}
}
