package relay

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"causeway/internal/relay/udp"

	"github.com/pion/stun/v4"
)

// from hands the server an authentic Allocate that seems to come from addr, and tells whether it made an
// allocation. (What it answers goes to nobody.)
func (r *running) from(user, pass, addr string) bool {
	r.t.Helper()
	at := netip.MustParseAddrPort(addr)
	c := &raw{t: r.t, username: user, password: pass, realm: stun.NewRealm(r.Realm()), nonce: stun.NewNonce(string(r.nonces.Issue(at, uint8(overUDP), r.now())))}
	before := r.Allocations()
	r.worker().fromClient(&udp.Packet{Data: c.build(stun.MethodAllocate, udpTransport), Addr: at}, r.shards[0])
	return r.Allocations() == before+1
}

// A credential is pinned to the prefix of its first use, and to where its member signals from.
func TestSourcePin(t *testing.T) {
	signaling := netip.MustParseAddr("9.9.9.9")
	for name, strict := range map[string]bool{"soft": false, "strict": true} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := start(t, func(c *Config) {
				c.StrictSource, c.Logger, c.Limits.AllocationsPerHolder = strict, slog.New(slog.NewTextHandler(&log, nil)), 100
			})
			id := r.grant("a", func(g *Grant) { g.Addrs = []netip.Addr{signaling} })
			user, pass := r.credential(id)
			for i, tt := range []struct {
				at      string
				foreign bool
			}{
				{"8.8.8.8:1000", false},
				{"8.8.8.8:1001", false},
				{"8.8.8.200:1000", false}, // behind the same NAT pool
				{"8.8.9.8:1000", true},
				{"[2a00:1:2:3::1]:1000", false}, // the first of its family
				{"[2a00:1:2:4::1]:1000", false},
				{"[2a00:1:3::1]:1000", true},
				{"9.9.9.77:1000", false}, // where it signals from, so it has moved there
				{"9.9.9.77:1001", false},
				{"8.8.8.8:1002", true},
			} {
				before := r.count("foreign_sources_total", map[bool]string{true: "refused", false: "accepted"}[strict])
				made := r.from(user, pass, tt.at)
				if want := !tt.foreign || !strict; made != want {
					t.Errorf("%d, from %s: allocated %v, want %v", i, tt.at, made, want)
				}
				counted := r.count("foreign_sources_total", map[bool]string{true: "refused", false: "accepted"}[strict]) - before
				if want := map[bool]float64{true: 1}[tt.foreign]; counted != want {
					t.Errorf("%d, from %s: counted %v times, want %v", i, tt.at, counted, want)
				}
			}
			if n := r.count("refusals_total", string(refusedElsewhere)); (n == 3) != strict {
				t.Errorf("%v refusals", n)
			}
			// Another credential of the member begins anew.
			other, otherPass := r.mint("a", time.Hour)
			if !r.from(other, otherPass, "8.8.9.9:2000") {
				t.Error("a credential's pin is another's")
			}
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "another network"); n != 1 {
				t.Errorf("told %d times within a minute, want once:\n%s", n, &log)
			}
			if strings.Contains(log.String(), "8.8.") {
				t.Errorf("the log has an address:\n%s", &log)
			}
		})
	}
}

// A grant that is put again, as when its member comes back from another network, says where that is now.
func TestSourcePinFollowsSignaling(t *testing.T) {
	r := start(t, func(c *Config) { c.StrictSource = true })
	var g Grant
	user, pass := r.credential(r.grant("a", func(of *Grant) { g = *of }))
	if !r.from(user, pass, "8.8.8.8:1") || r.from(user, pass, "9.9.9.9:1") {
		t.Fatal("not pinned")
	}
	g.Addrs = []netip.Addr{netip.MustParseAddr("9.9.9.1")}
	if err := r.Put(g); err != nil {
		t.Fatal(err)
	}
	if !r.from(user, pass, "9.9.9.9:1") {
		t.Error("the network that it signals from is refused")
	}
	r.Moved("s", "a", netip.MustParseAddr("7.7.7.7"))
	r.Moved("s", "b", netip.MustParseAddr("6.6.6.6"))
	r.Moved("other", "a", netip.MustParseAddr("6.6.6.6"))
	if err := r.Put(g); err != nil { // knows nothing of it
		t.Fatal(err)
	}
	if r.from(user, pass, "6.6.6.6:1") || !r.from(user, pass, "7.7.7.1:1") {
		t.Error("not where it has moved to")
	}
	r.Moved("s", "a", netip.Addr{})
	if r.from(user, pass, "9.9.9.9:2") || !r.from(user, pass, "7.7.7.1:2") {
		t.Error("not where it was last")
	}
}

// TURN REST users may be many people.
func TestSourcePinIsNotForREST(t *testing.T) {
	r := start(t, func(c *Config) { c.StrictSource = true })
	user, pass := r.rest("everybody", time.Hour)
	if !r.from(user, pass, "8.8.8.8:1") || !r.from(user, pass, "9.9.9.9:1") {
		t.Error("pinned")
	}
}
