package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/internal/relay/credential"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/prometheus/client_golang/prometheus"
)

const patience = 10 * time.Second // an upper bound for what takes milliseconds

// running is a server on loopback whose clock the test moves.
type running struct {
	*Server
	t       testing.TB
	attach  net.Listener // of TLS connections
	reg     *prometheus.Registry
	end     func() error // ends Run and returns its result; may be called again
	mu      sync.Mutex
	clock   time.Time
	secrets [][]byte
}

func start(t testing.TB, change func(*Config)) *running {
	t.Helper()
	r := &running{t: t}
	r.begin(change)
	return r
}

// begin makes and runs the server, until cleanup.
func (r *running) begin(change func(*Config)) {
	t := r.t
	t.Helper()
	r.reg, r.clock, r.secrets = prometheus.NewRegistry(), time.Now(), [][]byte{[]byte("current secret")}
	cfg := Config{Listen: "127.0.0.1:0", Registerer: r.reg, Secrets: r.getSecrets, GrantKey: []byte("a key of the node"), now: r.now}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.attach != nil {
		s.Attach(r.attach, true)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	r.end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-result:
			return err
		case <-time.After(patience):
			buf := make([]byte, 1<<20)
			return fmt.Errorf("run does not return:\n%s", buf[:runtime.Stack(buf, true)])
		}
	})
	t.Cleanup(func() {
		if err := r.end(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func (r *running) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *running) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

func (r *running) getSecrets() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secrets
}

func (r *running) rotate(s ...[]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = s
}

// rest mints a TURN REST credential.
func (r *running) rest(member string, life time.Duration) (username, password string) {
	return credential.Mint(r.getSecrets()[0], member, r.now().Add(life))
}

// grant puts one for a member of the session "s", and returns its id.
func (r *running) grant(member string, change func(*Grant)) string {
	r.t.Helper()
	id := make([]byte, 12)
	_, _ = rand.Read(id)
	g := Grant{ID: base64.RawURLEncoding.EncodeToString(id), Session: "s", Member: member, Until: r.now().Add(time.Hour)}
	if change != nil {
		change(&g)
	}
	if err := r.Put(g); err != nil {
		r.t.Fatal(err)
	}
	return g.ID
}

// credential is that of a grant.
func (r *running) credential(id string) (username, password string) {
	r.t.Helper()
	username, password, err := r.Credential(id, r.now().Add(time.Hour))
	if err != nil {
		r.t.Fatal(err)
	}
	return username, password
}

// mint puts a grant for member, and returns its credential.
func (r *running) mint(member string, life time.Duration) (username, password string) {
	r.t.Helper()
	return r.credential(r.grant(member, func(g *Grant) { g.Until = r.now().Add(life) }))
}

// count reads a counter or gauge by one label's value.
func (r *running) count(name, label string) float64 {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "causeway_relay_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// wait blocks until ok.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

// denied counts the peers that the policy denied, by verdict and where.
func (r *running) denied(verdict, where string) (n float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "causeway_relay_peers_denied_total" && m.GetLabel()[0].GetValue() == verdict && m.GetLabel()[1].GetValue() == where {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func (r *running) waitDenied(verdict string, want float64) {
	r.t.Helper()
	wait(r.t, "denied "+verdict, func() bool { return r.denied(verdict, "packet") >= want })
}

// channels counts those that are bound.
func (r *running) channels() (n int) {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	for a := range r.table.all {
		for _, p := range load(&a.peers) {
			if _, ok := p.live(r.Server.clock()); ok {
				n++
			}
		}
	}
	return n
}

func (r *running) waitCount(name, label string, want float64) {
	r.t.Helper()
	wait(r.t, name+" "+label, func() bool { return r.count(name, label) >= want })
}

// at is where the server is reached on loopback.
func (r *running) at() netip.AddrPort {
	if r.Addr().Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.Addr().Port())
	}
	return r.Addr()
}

// dial opens a client's socket, over UDP or TCP.
func (r *running) dial(network string) net.PacketConn {
	r.t.Helper()
	var pc net.PacketConn
	if strings.HasPrefix(network, "tcp") {
		c, err := net.Dial("tcp", r.at().String())
		if err != nil {
			r.t.Fatal(err)
		}
		pc = turn.NewSTUNConn(c)
	} else {
		c, err := net.ListenPacket("udp", netip.AddrPortFrom(r.at().Addr(), 0).String())
		if err != nil {
			r.t.Fatal(err)
		}
		pc = c
	}
	r.t.Cleanup(func() { _ = pc.Close() })
	return pc
}

// client is pion's TURN client.
func (r *running) client(network, username, password string) *turn.Client {
	r.t.Helper()
	addr := r.at().String()
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: addr, TURNServerAddr: addr, Conn: r.dial(network),
		Username: username, Password: password, Realm: r.cfg.Realm, LoggerFactory: silence(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// allocate makes an allocation for member with pion's client.
func (r *running) allocate(network, member string) (*turn.Client, net.PacketConn) {
	r.t.Helper()
	user, pass := r.mint(member, time.Minute)
	c := r.client(network, user, pass)
	relayed, err := c.Allocate()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = relayed.Close() })
	return c, relayed
}

// pair makes two allocations that permit each other.
func (r *running) pair(networkA, networkB string) (a, b net.PacketConn) {
	r.t.Helper()
	ca, a := r.allocate(networkA, "a")
	cb, b := r.allocate(networkB, "b")
	if err := errors.Join(ca.CreatePermission(b.LocalAddr()), cb.CreatePermission(a.LocalAddr())); err != nil {
		r.t.Fatal(err)
	}
	return a, b
}

// raw is a client that sends exactly what a test wants.
type raw struct {
	t                  testing.TB
	conn               net.PacketConn
	to                 net.Addr
	username, password string
	realm              stun.Realm
	nonce              stun.Nonce
	last, made         *stun.Message // answers to the last request, and to Allocate
	lastRequest        []byte
}

func (r *running) raw(network, username, password string) *raw {
	return &raw{t: r.t, conn: r.dial(network), to: net.UDPAddrFromAddrPort(r.at()), username: username, password: password}
}

// build makes a request, signed if there is a nonce.
func (c *raw) build(m stun.Method, attrs ...stun.Setter) []byte {
	c.t.Helper()
	set := append([]stun.Setter{stun.TransactionID, stun.NewType(m, stun.ClassRequest)}, attrs...)
	if c.nonce != nil {
		key := stun.NewLongTermIntegrity(c.username, string(c.realm), c.password)
		set = append(set, stun.NewUsername(c.username), c.realm, c.nonce, key)
	}
	req, err := stun.Build(set...)
	if err != nil {
		c.t.Fatal(err)
	}
	return req.Raw
}

// do sends one request and returns the answer.
func (c *raw) do(m stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	req := c.build(m, attrs...)
	c.lastRequest = req
	c.send(req)
	for {
		res := c.receive()
		if [12]byte(req[8:20]) == res.TransactionID {
			return res
		}
	}
}

func (c *raw) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteTo(b, c.to); err != nil {
		c.t.Fatal(err)
	}
}

func (c *raw) receive() *stun.Message {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _, err := c.conn.ReadFrom(buf)
	if err != nil {
		c.t.Fatal(err)
	}
	m := &stun.Message{Raw: buf[:n]}
	if err := m.Decode(); err != nil {
		c.t.Fatal(err)
	}
	return m
}

// request authenticates if needed, and returns the code of an error answer or 0.
func (c *raw) request(m stun.Method, attrs ...stun.Setter) stun.ErrorCode {
	c.t.Helper()
	res := c.do(m, attrs...)
	c.last = res
	code := codeOf(res)
	if (code == stun.CodeUnauthorized || code == stun.CodeStaleNonce) && c.nonce == nil {
		if err := errors.Join(c.realm.GetFrom(res), c.nonce.GetFrom(res)); err != nil {
			c.t.Fatal(err)
		}
		c.last = c.do(m, attrs...)
		code = codeOf(c.last)
	}
	return code
}

func (c *raw) allocate() stun.ErrorCode {
	c.t.Helper()
	code := c.request(stun.MethodAllocate, udpTransport)
	if code == 0 {
		c.made = c.last
	}
	return code
}

// receiveRaw returns the next packet, whatever it is.
func (c *raw) receiveRaw() []byte {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _, err := c.conn.ReadFrom(buf)
	if err != nil {
		c.t.Fatal(err)
	}
	return buf[:n]
}

func codeOf(m *stun.Message) stun.ErrorCode {
	var code stun.ErrorCodeAttribute
	if m.Type.Class == stun.ClassErrorResponse && code.GetFrom(m) == nil {
		return code.Code
	}
	return 0
}

// attr is an attribute as it is on the wire.
type attr struct {
	typ   stun.AttrType
	value []byte
}

func (a attr) AddTo(m *stun.Message) error {
	m.Add(a.typ, a.value)
	return nil
}

var (
	udpTransport = attr{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	tcpTransport = attr{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}
	evenPort     = attr{stun.AttrEvenPort, []byte{0}}
	portPair     = attr{stun.AttrEvenPort, []byte{0x80}}
)

func lifetime(d time.Duration) attr {
	return attr{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d.Seconds()))}
}

func family(n byte) attr { return attr{stun.AttrRequestedAddressFamily, []byte{n, 0, 0, 0}} }

func channel(n uint16) attr {
	return attr{stun.AttrChannelNumber, binary.BigEndian.AppendUint32(nil, uint32(n)<<16)}
}

// peer encodes exactly the form of a, so an IPv4-mapped address as IPv6.
type peerAttr netip.AddrPort

func (p peerAttr) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	family := byte(1)
	if a.Addr().Is6() {
		family = 2
	}
	v := binary.BigEndian.AppendUint16([]byte{0, family}, a.Port()^0x2112)
	mask := append([]byte{0x21, 0x12, 0xA4, 0x42}, m.TransactionID[:]...)
	for i, b := range a.Addr().AsSlice() {
		v = append(v, b^mask[i])
	}
	m.Add(stun.AttrXORPeerAddress, v)
	return nil
}

func peerAt(s string) peerAttr { return peerAttr(netip.MustParseAddrPort(s)) }

// nothing fails if something arrived at c; call it when what could have arrived has.
func nothing(t testing.TB, c net.PacketConn) {
	t.Helper()
	// A deadline in the past would not even look.
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, _, err := c.ReadFrom(make([]byte, 2048))
	if nerr, ok := errors.AsType[net.Error](err); !ok || !nerr.Timeout() {
		t.Errorf("read %d bytes, %v; want nothing", n, err)
	}
}

func silence() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.Writer = io.Discard
	return f
}

// selfSigned makes a certificate for ip.
func selfSigned(t testing.TB, ip net.IP) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{ip}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}
}
