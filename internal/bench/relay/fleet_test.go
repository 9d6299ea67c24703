//go:build linux

package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// server answers requests as a TURN server would that knows neither its clients nor
// the protocol: without credentials 401, with the first nonce 438, then success.
func server(t *testing.T, refuse int) netip.AddrPort {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		b := make([]byte, 2000)
		for count := 0; ; count++ {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if count == 0 {
				continue // lost
			}
			method := binary.BigEndian.Uint16(b)
			failure := func(code byte, nonce string) message {
				return newRequest(method|classError, transaction(b[8:20])).add(attrError, []byte{0, 0, 4, code}).add(attrRealm, []byte("realm")).add(attrNonce, []byte(nonce))
			}
			answer := newRequest(method|classSuccess, transaction(b[8:20])).add(attrRelayed, []byte{0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43})
			switch request := b[:n]; {
			case method == binding:
			case refuse != 0:
				answer = failure(byte(refuse%100), "")
			case !bytes.Contains(request, []byte("nonce")):
				answer = failure(1, "nonce-one")
			case bytes.Contains(request, []byte("nonce-one")):
				answer = failure(38, "nonce-two")
			}
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestFleet(t *testing.T) {
	f, err := newFleet(loopback(), server(t, 0), false, Login{Secret: "s"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := f.probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.allocateAll(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := f.bindAll(t.Context(), f.clients, 2); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.clients {
		if c.relayed != netip.MustParseAddrPort("192.0.2.1:32853") || c.nonce != "nonce-two" || c.realm != "realm" || !strings.Contains(c.user, ":bench") {
			t.Errorf("client %+v", c)
		}
	}
	firsts := pairUp(f.clients)
	if len(firsts) != 2 || firsts[1] != f.clients[2] || f.clients[3].peer != f.clients[2].relayed {
		t.Error("pairs")
	}
}

func TestFleetRefused(t *testing.T) {
	f, err := newFleet(loopback(), server(t, 486), false, Login{User: "u"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var r refused
	if err := f.allocateAll(t.Context(), 2); !errors.As(err, &r) || r.code != 486 {
		t.Errorf("error %v", err)
	}
}

// Packets cross the forwarder in both directions.
func TestForwarder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() { ended <- Forward(ctx, netip.MustParseAddr("127.0.0.1"), w) }()
	line := make([]byte, 100)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFleet(loopback(), netip.MustParseAddrPort(strings.TrimSpace(string(line[:n]))), true, Login{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if err := f.allocateAll(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for _, d := range []Direction{Up, Down} {
		shape := traffic{direction: d, clients: f.clients, size: 1200, rate: 5000, burst: 4, together: 2, duration: 20 * time.Millisecond}
		c, err := f.measure(ctx, shape, func() (time.Duration, error) { return 0, nil })
		if err != nil {
			t.Fatal(err)
		}
		if c.sent != 104 || c.delivered == 0 || c.delivered > c.sent || c.wrong != 0 || c.unsent != 0 {
			t.Errorf("%s: %+v", d, c)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestReceiverChecks(t *testing.T) {
	r := &receiver{size: 16}
	body := binary.BigEndian.AppendUint32(nil, payloadMagic)
	body = append(binary.BigEndian.AppendUint32(body, 7), make([]byte, 8)...)
	framed := append([]byte{0x40, 0, 0, 16}, body...)
	for name, test := range map[string]struct {
		b      []byte
		framed bool
		ok     bool
	}{
		"bare": {body, false, true}, "framed": {framed, true, true}, "padded": {append(framed, 0, 0), true, true},
		"other channel": {append([]byte{0x40, 1, 0, 16}, body...), true, false}, "cut": {framed[:19], true, false}, "short": {framed[:3], true, false},
		"other size": {body[:15], false, false}, "other magic": {make([]byte, 16), false, false},
	} {
		if trial, ok := r.check(test.b, test.framed); ok != test.ok || ok && trial != 7 {
			t.Errorf("%s: %v %v", name, trial, ok)
		}
	}
}
