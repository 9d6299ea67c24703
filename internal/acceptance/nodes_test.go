package acceptance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"causeway/internal/relay/control"
)

// signing is the signing key of the tests' servers: 32 bytes in base64.
const signing = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

const signingBytes = "01234567890123456789012345678901"

// cluster is a control plane and its relay nodes, each a process.
type cluster struct {
	server *exec.Cmd
	base   string
	nodes  []*node
}

type node struct {
	cmd  *exec.Cmd
	turn string // address
	url  string // of the control interface
}

// newCluster starts nodes "a", "b" and so on, and a server that has no relay of its own, or args
// say otherwise.
func newCluster(t testing.TB, nodes int, args ...string) *cluster {
	t.Helper()
	dir := t.TempDir()
	base := freePort(t)
	c := &cluster{base: "http://" + base}
	file := ""
	for i := range nodes {
		name := string(rune('a' + i))
		n := startNode(t, name, c.base, filepath.Join(dir, name))
		c.nodes = append(c.nodes, n)
		file += fmt.Sprintf("- {name: %s, url: %q, region: region-%s}\n", name, n.url, name)
	}
	config := filepath.Join(dir, "causeway.yaml")
	if err := os.WriteFile(config, []byte("relay_node:\n"+file), 0o600); err != nil {
		t.Fatal(err)
	}
	c.server, _ = program(t, []string{"SIGNING=" + signing}, "Ctrl-C", append([]string{"serve", "--config=" + config, "--listen=" + base,
		"--turn-listen=off", "--signing-key=env:SIGNING", "--data-dir=" + filepath.Join(dir, "server")}, args...)...)
	for i := range c.nodes { // until it is known there
		c.client(t, i)
	}
	return c
}

func startNode(t testing.TB, name, control, dir string) *node {
	t.Helper()
	cmd, said := program(t, []string{"NODE_KEY=" + keyOf(t, name).Text()}, "Ctrl-C", "relay", "--turn-listen=127.0.0.1:0", "--control="+control,
		"--control-listen=127.0.0.1:0", "--node-key=env:NODE_KEY", "--control-window=5s", "--drain-timeout=20s", "--data-dir="+dir)
	turn := regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(said)
	url := regexp.MustCompile(`interface is (\S+)`).FindStringSubmatch(said)
	if turn == nil || url == nil {
		t.Fatalf("the node says %q", said)
	}
	return &node{cmd, turn[1], url[1]}
}

func keyOf(t testing.TB, name string) control.Key {
	t.Helper()
	key, err := control.NewKey([]byte(signingBytes), name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// client calls a node as a function would: with nothing but the signing key. It waits until the node has reached its control plane.
func (c *cluster) client(t testing.TB, i int) *control.Client {
	t.Helper()
	cl, err := control.NewClient(c.nodes[i].url, keyOf(t, string(rune('a'+i))), nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has reached its control plane", func() bool {
		s, err := cl.Status(t.Context())
		return err == nil && !s.CutOff
	})
	return cl
}

// eventually waits for what another process does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// established is a call through the first node.
func established(t testing.TB, c *cluster) *call {
	t.Helper()
	call := newCall(t, c.base)
	servers := call.ask("")
	if got := at(t, servers); got != c.nodes[0].turn {
		t.Fatalf("the call goes by %s, want %s", got, c.nodes[0].turn)
	}
	if err := call.connect(servers); err != nil {
		t.Fatal(err)
	}
	if err := call.flows(20, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	return call
}

// moves has a call go on through the second node, by the restart that is pushed.
func moves(t testing.TB, c *cluster, call *call) {
	t.Helper()
	servers := call.await("restart")
	if got := at(t, servers); got != c.nodes[1].turn {
		t.Fatalf("the restart is to %s, want %s", got, c.nodes[1].turn)
	}
	if err := call.connect(servers); err != nil {
		t.Fatal(err)
	}
	if err := call.flows(20, 20*time.Second); err != nil {
		t.Fatal(err)
	}
}

// TestKilledNode: media flows again through another node, whose credentials are pushed.
func TestKilledNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	call := established(t, c)
	if err := c.nodes[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	moves(t, c, call)
}

// TestDrainedNode: the same, before the node goes; media never stops, and the node ends by itself.
func TestDrainedNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	call := established(t, c)
	if err := c.nodes[0].cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	servers := call.await("restart")
	if err := call.flows(20, 10*time.Second); err != nil { // the old path carries on
		t.Error(err)
	}
	if err := call.connect(servers); err != nil {
		t.Fatal(err)
	}
	if got := at(t, servers); got != c.nodes[1].turn {
		t.Errorf("the restart is to %s, want %s", got, c.nodes[1].turn)
	}
	if err := call.flows(20, 20*time.Second); err != nil {
		t.Error(err)
	}
	// New calls don't go there.
	if got := at(t, newCall(t, c.base).ask("region-a")); got != c.nodes[1].turn {
		t.Errorf("a new call goes by %s", got)
	}
}

// TestDrainedServer: the server's own relay goes as a node does.
func TestDrainedServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "--turn-listen=127.0.0.1:0", "--drain-timeout=20s")
	call := newCall(t, c.base)
	servers := call.ask("")
	if got := at(t, servers); got == c.nodes[0].turn {
		t.Fatalf("a node comes before the own relay")
	}
	if err := call.connect(servers); err != nil {
		t.Fatal(err)
	}
	if err := c.server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	servers = call.await("restart")
	if got := at(t, servers); got != c.nodes[0].turn {
		t.Fatalf("the restart is to %s, want %s", got, c.nodes[0].turn)
	}
	if err := call.connect(servers); err != nil {
		t.Fatal(err)
	}
	if err := call.flows(20, 20*time.Second); err != nil {
		t.Error(err)
	}
}

// TestRegions: who asks for a region is served there, the others in the order of the file.
func TestRegions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	for region, want := range map[string]int{"": 0, "region-a": 0, "region-b": 1, "elsewhere": 0} {
		if got := at(t, newCall(t, c.base).ask(region)); got != c.nodes[want].turn {
			t.Errorf("region %q: %s, want %s", region, got, c.nodes[want].turn)
		}
	}
}

// TestKilledControlPlane: a running call goes on beyond its last renewal, for a while, and no new grant is
// taken, whoever puts it.
func TestKilledControlPlane(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "--relay-grace=3s")
	call := established(t, c)
	client := c.client(t, 0)
	grant := control.Grant{Session: "s", Member: "m", Live: 60_000, Most: 60_000}
	if err := c.server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	eventually(t, "the node knows that it is cut off", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.CutOff
	})
	if _, err := client.Put(t.Context(), "AAECAwQFBgcICQoL", grant); !errors.Is(err, control.ErrAway) {
		t.Errorf("a grant was taken: %v", err)
	}
	// Within the window (grace and control-window, 8 s) it flows; then it ends.
	for time.Since(killed) < 5*time.Second {
		if err := call.flows(10, 5*time.Second); err != nil {
			t.Fatalf("%v after the control plane was killed: %v", time.Since(killed), err)
		}
	}
	eventually(t, "the node ends what nobody vouches for", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Allocations == 0
	})
	if err := call.flows(1, time.Second); err == nil {
		t.Error("packets pass after the window")
	}
}

// TestNodeKeys: one node's key is worth nothing at another one, nor anything but the signing key.
func TestNodeKeys(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	grant := control.Grant{Session: "s", Member: "m", Live: 60_000, Most: 60_000}
	for _, key := range []control.Key{keyOf(t, "a"), keyOf(t, "elsewhere")} {
		thief, err := control.NewClient(c.nodes[1].url, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := thief.Put(t.Context(), "AAECAwQFBgcICQoL", grant); !errors.Is(err, control.ErrDenied) {
			t.Errorf("%s at b: %v", key.Name(), err)
		}
	}
	// Without a word before, whoever has the signing key is served; what it puts has no account at
	// this control plane, and so no bytes.
	if _, err := c.client(t, 1).Put(t.Context(), "AAECAwQFBgcICQoL", grant); err != nil {
		t.Error(err)
	}
}

// freePort is one that is likely to be free still when the server listens there: server and nodes have to know each
// other's.
func freePort(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
