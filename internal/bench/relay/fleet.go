//go:build linux

package relay

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"causeway/internal/relay/udp"
)

// of returns the user and password of client i.
func (l Login) of(i int) (user, password string) {
	if l.Secret == "" {
		return l.User, l.Password
	}
	user = strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) + ":bench" + strconv.Itoa(i)
	mac := hmac.New(sha1.New, []byte(l.Secret))
	mac.Write([]byte(user))
	return user, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// client is one allocation, or one client of the forwarder.
type client struct {
	index          int
	source         netip.Addr     // of its packets
	peer           netip.AddrPort // what its channel is bound to
	relayed        netip.AddrPort
	user, password string
	realm, nonce   string
	key            []byte

	id     transaction // of the request under way
	packet []byte
	due    time.Time // when to send it again
	tries  int
}

// Fleet is clients of one server, on one socket, and their peers, on another.
type Fleet struct {
	server  netip.AddrPort
	bare    bool // the server is the forwarder
	clients []*client
	conn    *udp.Conn // of the clients
	sink    *udp.Conn // of the peers
	poller  *udp.Poller
	batch   *udp.Batch
	writer  *udp.Writer
	run     uint32 // begins the id of each transaction
	serial  uint32
}

const (
	channelNumber = 0x4000
	retry         = 500 * time.Millisecond
	maxTries      = 12
	socketBuffer  = 16 << 20
)

// newFleet opens the sockets of n clients in the network. Nothing is sent.
func newFleet(nw *network, server netip.AddrPort, bare bool, login Login, n int) (*Fleet, error) {
	if n > 60_000 {
		return nil, errors.New("more clients than addresses")
	}
	f := &Fleet{server: server, bare: bare, batch: udp.NewBatch(udp.DefaultSlots), writer: udp.NewWriter(), run: rand.Uint32()}
	options := udp.Options{GRO: true, GSO: true, Pktinfo: true, Buffers: socketBuffer}
	err := nw.inside(func() (err error) {
		if f.conn, err = udp.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), options); err != nil {
			return err
		}
		f.sink, err = udp.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), options)
		return err
	})
	if err == nil {
		f.poller, err = udp.NewPoller()
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("sockets of the driver: %w", err)
	}
	for i := range n {
		c := &client{index: i, source: nw.address(1, i), peer: netip.AddrPortFrom(nw.address(2, i), f.sink.LocalAddr().Port())}
		c.user, c.password = login.of(i)
		f.clients = append(f.clients, c)
	}
	return f, nil
}

func (f *Fleet) close() {
	for _, c := range []*udp.Conn{f.conn, f.sink} {
		if c != nil {
			_ = c.Close()
		}
	}
	if f.poller != nil {
		_ = f.poller.Close()
	}
}

// step is a kind of request: how to make it, and what to do with a success.
type step struct {
	name    string
	request func(*client) []byte
	done    func(*client, answer)
}

// allocateAll makes an allocation for each client.
func (f *Fleet) allocateAll(ctx context.Context, parallel int) error {
	return f.do(ctx, f.clients, parallel, step{"allocate", func(c *client) []byte {
		if f.bare {
			return forwardRequest(c.id, c.peer)
		}
		m := newRequest(allocate, c.id).add(attrRequestedTransport, []byte{protocolUDP, 0, 0, 0})
		return f.authenticated(c, m)
	}, func(c *client, a answer) { c.relayed = a.relayed }})
}

// bindAll binds the channel of each client to its peer.
func (f *Fleet) bindAll(ctx context.Context, clients []*client, parallel int) error {
	if f.bare {
		return nil
	}
	return f.do(ctx, clients, parallel, step{"bind a channel", func(c *client) []byte {
		m := newRequest(channelBind, c.id).add(attrChannel, []byte{channelNumber >> 8, channelNumber & 0xFF, 0, 0}).addPeer(c.peer)
		return f.authenticated(c, m)
	}, func(*client, answer) {}})
}

// probe waits until the server answers a Binding.
func (f *Fleet) probe(ctx context.Context) error {
	return f.do(ctx, f.clients[:1], 1, step{"reach the server", func(c *client) []byte { return newRequest(binding, c.id) }, func(*client, answer) {}})
}

// authenticated completes a request once the server has said its realm and nonce.
func (f *Fleet) authenticated(c *client, m message) []byte {
	if c.key == nil {
		return m
	}
	return m.add(attrUsername, []byte(c.user)).add(attrRealm, []byte(c.realm)).add(attrNonce, []byte(c.nonce)).sign(c.key)
}

// do makes a request for each client, so many at a time, and waits for the answers.
func (f *Fleet) do(ctx context.Context, clients []*client, parallel int, s step) error {
	if err := f.poller.Add(f.conn, nil); err != nil {
		return err
	}
	defer f.poller.Remove(f.conn)
	defer f.wakeOften()()
	pending := make(map[int]*client, parallel)
	for next := 0; next < len(clients) || len(pending) > 0; {
		for ; next < len(clients) && len(pending) < parallel; next++ {
			c := clients[next]
			c.tries = 0
			f.begin(c, s)
			pending[c.index] = c
		}
		if err := f.resend(pending, s); err != nil {
			return err
		}
		groups, err := f.poller.Wait(f.batch)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, g := range groups {
			for _, p := range g.Packets {
				if err := f.answered(p.Data, pending, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// wakeOften makes the Poller return ten times a second, until the function that it
// returns is called.
func (f *Fleet) wakeOften() (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(retry / 5)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f.poller.Wake()
			case <-end:
				return
			}
		}
	})
	return func() {
		close(end)
		wg.Wait()
	}
}

// begin makes c's request under a new id. resend sends it.
func (f *Fleet) begin(c *client, s step) {
	f.serial++
	binary.BigEndian.PutUint32(c.id[:], f.run)
	binary.BigEndian.PutUint32(c.id[4:], f.serial)
	binary.BigEndian.PutUint32(c.id[8:], uint32(c.index))
	c.packet, c.due = s.request(c), time.Time{}
}

// resend sends what is due: for the first time or again.
func (f *Fleet) resend(pending map[int]*client, s step) error {
	now := time.Now()
	for _, c := range pending {
		if now.Before(c.due) {
			continue
		}
		if c.tries++; c.tries > maxTries {
			return fmt.Errorf("%s: no answer", s.name)
		}
		c.due = now.Add(retry)
		f.writer.Send(f.conn, f.server, c.source, nil, c.packet)
	}
	_, _ = f.writer.Flush() // what was not sent is sent again
	return nil
}

// answered handles a datagram from the server.
func (f *Fleet) answered(b []byte, pending map[int]*client, s step) error {
	var a answer
	if f.bare {
		id, relayed, ok := parseForward(b)
		if !ok {
			return nil
		}
		a = answer{id: id, class: classSuccess, relayed: relayed}
	} else {
		var err error
		if a, err = parseAnswer(b); err != nil {
			return nil // a straggler
		}
	}
	c := pending[int(binary.BigEndian.Uint32(a.id[8:]))]
	if c == nil || c.id != a.id {
		return nil
	}
	switch {
	case a.class == classSuccess:
		delete(pending, c.index)
		s.done(c, a)
	case a.class == classError && (a.code == 401 && c.key == nil || a.code == 438) && a.nonce != "":
		c.nonce = a.nonce
		if a.realm != "" {
			c.realm = a.realm
		}
		c.key = longTermKey(c.user, c.realm, c.password)
		f.begin(c, s)
	default:
		return refused{s.name, a.code}
	}
	return nil
}
