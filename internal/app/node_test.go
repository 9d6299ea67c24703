package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/relay/control"
	"causeway/internal/relay/grants"
)

const nodeSigning = "01234567890123456789012345678901"

func nodeKey(t *testing.T, name string) control.Key {
	t.Helper()
	key, err := control.NewKey([]byte(nodeSigning), name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startNode runs a node, with own books unless change says otherwise, until the test ends.
func startNode(t *testing.T, change func(*NodeConfig)) *Node {
	t.Helper()
	t.Setenv("CAUSEWAY_TEST_NODE_KEY", nodeKey(t, "n").Text())
	cfg := NodeConfig{
		TURNListen: "127.0.0.1:0", Ports: config.PortRange{First: 49152, Last: 65535}, Shards: 1,
		Link:    NodeLink{Key: "env:CAUSEWAY_TEST_NODE_KEY", Listen: "127.0.0.1:0", Session: 1_000_000},
		Budgets: NodeBudgets{Dir: t.TempDir(), Day: config.Unlimited, Month: config.Unlimited},
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n, err := NewNode(ctx, cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// certificate writes one for localhost, and returns a transport that trusts it.
func certificate(t *testing.T) (config.TLS, *http.Transport) {
	t.Helper()
	var c config.Config
	dir := t.TempDir()
	c.Cert, c.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := x509.NewCertPool()
	roots.AddCert(writeCert(t, c, 1))
	return c.TLS, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
}

// A function needs the signing key and the node's URL, and nothing else: over HTTPS, at the port of TURN
// over TLS.
func TestNodeForAFunction(t *testing.T) {
	files, transport := certificate(t)
	n := startNode(t, func(c *NodeConfig) { c.TLSListen, c.TLS, c.Link.Listen = "127.0.0.1:0", files, "" })
	urls := n.ControlURLs()
	if len(urls) != 1 || !strings.HasPrefix(urls[0], "https://localhost:") {
		t.Fatalf("%v", urls)
	}
	client, err := control.NewClient(urls[0], nodeKey(t, "n"), transport)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ice.NewNode(ice.NodeConfig{Relay: client})
	if err != nil {
		t.Fatal(err)
	}
	m, err := issuer.Mint(t.Context(), ice.Request{Session: "s", Member: "m", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	all := m.Servers[len(m.Servers)-1]
	port := strings.TrimPrefix(urls[0], "https://localhost:")
	if all.Username == "" || all.Credential == "" || !slices.Contains(all.URLs, "turns:localhost:"+port+"?transport=tcp") {
		t.Errorf("%+v", m.Servers)
	}
	// The port speaks TURN, too.
	tc := transport.TLSClientConfig.Clone()
	tc.NextProtos = []string{"stun.turn"}
	c, err := tls.Dial("tcp", net.JoinHostPort("localhost", port), tc)
	if err != nil || c.ConnectionState().NegotiatedProtocol != "stun.turn" {
		t.Fatalf("TURN over TLS: %v", err)
	}
	c.Close()
	if err := errors.Join(issuer.Revoke(t.Context(), m.Handle), issuer.Revoke(t.Context(), m.Handle)); err != nil {
		t.Error(err)
	}
	if s, err := client.Status(t.Context()); err != nil || s.CutOff || s.Name != "n" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNodeWithoutACertificate(t *testing.T) {
	t.Setenv("CAUSEWAY_TEST_NODE_KEY", nodeKey(t, "n").Text())
	_, err := NewNode(t.Context(), NodeConfig{
		TURNListen: "127.0.0.1:0", Ports: config.PortRange{First: 49152, Last: 65535}, Shards: 1, TLSListen: "127.0.0.1:0",
		Link: NodeLink{Key: "env:CAUSEWAY_TEST_NODE_KEY"}, Budgets: NodeBudgets{Dir: t.TempDir(), Day: 1, Month: 1},
	}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "without a certificate") {
		t.Errorf("%v", err)
	}
}

// A node that no control plane leases to counts by itself: a session's cap holds over its members and their
// grants, and survives none of them.
func TestOwnBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100})
		if err != nil {
			t.Fatal(err)
		}
		b := booksOf(ledger, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.run(ctx) }()
		total := int64(0)
		for _, id := range []string{"one", "two", "three"} {
			err := b.open(id, control.Grant{Session: "s", Member: id, Most: 60_000})
			if total == 1_000_000 {
				if !errors.Is(err, control.ErrSpent) {
					t.Errorf("a grant of a session that has spent all: %v", err)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for {
				n, err := b.Lease(ctx, id, 600_000-total%600_000)
				if errors.Is(err, grants.ErrSpent) || n == 0 {
					break
				}
				if err := b.Settle(ctx, id, n, 0, 0); err != nil {
					t.Fatal(err)
				}
				if total += n; total == 600_000 {
					break
				}
			}
			b.end(id)
		}
		if total != 1_000_000 {
			t.Errorf("%d bytes of 1 MB", total)
		}
		if err := b.open("other", control.Grant{Session: "t", Member: "m", Most: 60_000}); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute) // nobody deleted it: it ended by itself
		synctest.Wait()
		b.deadlines.mu.Lock()
		if len(b.deadlines.due) != 0 {
			t.Errorf("accounts stay: %v", b.deadlines.due)
		}
		b.deadlines.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What functions have keeps nothing between calls; both members of a pair are at one node all the same.
func TestFunctionsUseNodes(t *testing.T) {
	n := startNode(t, nil)
	var cfg config.Config
	cfg.PeerPolicy = "p2"
	cfg.RelayNode = []config.RelayNode{{Name: "away", URL: "http://127.0.0.1:1"}, {Name: "n", URL: n.ControlURLs()[0]}}
	ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100, Prices: map[string]int64{"n": 0, "away": 0}})
	if err != nil {
		t.Fatal(err)
	}
	r := &boughtRelays{ledger: ownAccounts{ledger}, log: slog.New(slog.DiscardHandler)}
	nodes, clients, err := openNodes(cfg, []byte(nodeSigning))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := newChain(nodes, nil, r)
	if err != nil {
		t.Fatal(err)
	}
	r.issuer.Store(chain)
	r.nodes.Store(&clients)
	now := time.Now()
	var pair [2]grant.Order
	for i, peer := range []string{"a", "b"} {
		pair[i] = grant.Order{Member: grant.Member{Session: "s", Peer: peer}, Until: now.Add(time.Second), NotAfter: now.Add(time.Hour)}
	}
	made, err := r.Mint(t.Context(), pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range made {
		if !strings.HasPrefix(c.Handle, "n:") || len(c.Servers) == 0 {
			t.Errorf("%+v", c)
		}
		if err := r.Renew(t.Context(), c.Handle, now.Add(time.Minute), nil); err != nil {
			t.Error(err)
		}
		if err := r.Revoke(t.Context(), c.Handle); err != nil {
			t.Error(err)
		}
		if err := r.Renew(t.Context(), c.Handle, now.Add(time.Minute), nil); !errors.Is(err, grant.ErrGone) {
			t.Errorf("renewed after it was revoked: %v", err)
		}
	}
}

// A node that is not there is passed over, and one that does not answer costs its grant's account nothing.
func TestNodesThatAreAway(t *testing.T) {
	ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100, Prices: map[string]int64{"bought": 1}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRelays(relaysConfig{
		ledger: ledger, log: slog.New(slog.DiscardHandler), bought: []ice.Named{{Name: "bought", Issuer: newOverflow(t)}},
		nodes: config.Nodes{RelayNode: []config.RelayNode{{Name: "n", URL: "http://127.0.0.1:1"}}},
		fleet: fleetConfig{key: []byte(nodeSigning), policy: "p2", grace: time.Minute, log: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := mint(t, r); err != nil || !strings.HasPrefix(c.Handle, "bought:") {
		t.Errorf("%+v, %v", c, err)
	}
	issuer := r.fleet.issuers[0].Issuer
	if _, err := issuer.Mint(t.Context(), ice.Request{Session: "s", Member: "m"}); !errors.Is(err, ice.ErrAway) {
		t.Errorf("%v", err)
	}
	if len(r.live)+len(r.closing) > 0 {
		t.Errorf("accounts are left: %v, %v", r.live, r.closing)
	}
	if r.buys("n") || !r.buys("bought") {
		t.Error("who is bought?")
	}
}

func TestNodeKeyIsForAName(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), 0o600); err != nil {
		t.Fatal(err)
	}
	var c config.Config
	c.SigningKey = "file:" + file
	if got, err := NodeKey(t.Context(), c, "n"); err != nil || got != nodeKey(t, "n").Text() {
		t.Errorf("%v", err)
	}
	if _, err := NodeKey(t.Context(), c, "N"); err == nil {
		t.Error("a bad name")
	}
}

// What ends at a node that is away is not told to it again and again.
func TestNothingWaitsForANodeThatIsAway(t *testing.T) {
	ledger, err := budget.New(budget.Config{Session: budget.Cap{Bytes: 1_000_000}, MemberShare: 100})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRelays(relaysConfig{
		ledger: ledger, log: slog.New(slog.DiscardHandler),
		nodes: config.Nodes{RelayNode: []config.RelayNode{{Name: "n", URL: "http://127.0.0.1:1"}}},
		fleet: fleetConfig{key: []byte(nodeSigning), policy: "p2", grace: time.Minute, log: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Revoke(t.Context(), "n:AAECAwQFBgcICQoL"); err != nil {
		t.Error(err)
	}
	if n := r.fleet.node("n").Waiting(); n != 0 {
		t.Errorf("%d changes wait", n)
	}
}
