package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/realtimetest"

	"github.com/pion/ice/v4"
)

// program starts this test binary as the program, on this machine's loopback, and returns it when it has said
// what lines wait for. Stopping it is the test's end's, or earlier.
func program(t testing.TB, env []string, ready string, args ...string) (p *exec.Cmd, said string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p = exec.Command(self, args...)
	p.Env = append(os.Environ(), append(env, role+"=causeway")...)
	var log bytes.Buffer
	p.Stderr = &log
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 64)
	go func() {
		defer close(lines)
		for line := range linesOf(out) {
			lines <- line
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Signal(os.Interrupt) // it may have ended
		for range lines {
		}
		_ = p.Wait() // how it ended is the test's to say
		if t.Failed() {
			t.Logf("%s: %s", args[0], log.String())
		}
	})
	late := time.After(30 * time.Second)
	for !strings.Contains(said, ready) {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("%v ended: %s", args, log.String())
			}
			said += line + "\n"
		case <-late:
			t.Fatalf("%v says no %q, but %q", args, ready, said)
		}
	}
	return p, said
}

// party is one of the two in a call that may only be relayed.
type party struct {
	hub    *realtimetest.Client
	peer   string
	events chan event
}

// call is two parties and the path between them.
type call struct {
	t     testing.TB
	base  string
	sides [2]*party // host, guest
	heard atomic.Int64
	link  atomic.Pointer[ice.Conn] // that the host sends on
	agent *ice.Agent               // the host's
}

func (c *call) post(path, bearer, body string, answer any) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(answer); err != nil || res.StatusCode > 299 {
		c.t.Fatalf("%s: %s, %v", path, res.Status, err)
	}
}

// newCall has two parties join a session of the server at base.
func newCall(t testing.TB, base string) *call {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{t: t, base: base}
	t.Cleanup(cancel)
	var host, guest struct{ Grant, Invite, Peer string }
	c.post("/api/sessions", "", "{}", &host)
	c.post("/api/sessions/join", "", `{"invite":"`+host.Invite+`"}`, &guest)
	for i, one := range []struct{ Grant, Invite, Peer string }{host, guest} {
		var ep struct{ URL, AccessToken string }
		c.post("/api/negotiate", one.Grant, "", &ep)
		hub, err := realtimetest.Dial(ctx, realtime.Endpoint{URL: ep.URL, AccessToken: ep.AccessToken}, realtimetest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := &party{hub: hub, peer: one.Peer, events: make(chan event, 64)}
		c.sides[i] = p
		go func() {
			for {
				msg, err := hub.Next(ctx)
				if err != nil {
					return
				}
				e := event{target: msg.Target}
				if len(msg.Arguments) > 0 && json.Unmarshal(msg.Arguments[0], &e.from) == nil {
					p.events <- e
				}
			}
		}()
		if _, err := hub.Invoke(ctx, "hello", map[string]any{"n": 1}); err != nil { // answered: signaling knows that it is there
			t.Fatal(err)
		}
	}
	return c
}

// await returns the ICE servers of the next event of a kind, for both.
func (c *call) await(target string) (servers [2][]server) {
	c.t.Helper()
	late := time.After(40 * time.Second)
	for i, p := range c.sides {
		for servers[i] == nil {
			select {
			case e := <-p.events:
				if e.target == target {
					servers[i] = e.from.ICEServers
				}
			case <-late:
				c.t.Fatalf("no %s for party %d", target, i)
			}
		}
	}
	return servers
}

// ask asks for a relay.
func (c *call) ask(region string) [2][]server {
	c.t.Helper()
	arg := map[string]any{"to": c.sides[1].peer, "link": 1, "bytes": 0, "region": region}
	if _, err := c.sides[0].hub.Invoke(c.t.Context(), "relay", arg); err != nil {
		c.t.Fatal(err)
	}
	return c.await("relay")
}

// at tells the one TURN server that both have, by UDP.
func at(t testing.TB, servers [2][]server) string {
	t.Helper()
	var found [2]string
	for i, list := range servers {
		for _, s := range list {
			for _, u := range s.URLs {
				if strings.HasPrefix(u, "turn:") && strings.HasSuffix(u, "udp") {
					found[i] += u
				}
			}
		}
	}
	if found[0] == "" || found[0] != found[1] {
		t.Fatalf("the two have %v", found)
	}
	return strings.TrimSuffix(strings.TrimPrefix(found[0], "turn:"), "?transport=udp")
}

// connect makes a path through a relay, as a restart of ICE does, and has the host send on it.
func (c *call) connect(servers [2][]server) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	var agents [2]*ice.Agent
	for i := range agents {
		urls, err := uris(servers[i])
		if err != nil {
			return err
		}
		agents[i], err = ice.NewAgentWithOptions(ice.WithUrls(urls), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeRelay}),
			ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled), ice.WithIncludeLoopback())
		if err != nil {
			return err
		}
		agent := agents[i]
		c.t.Cleanup(func() { _ = agent.Close() })
	}
	for i, agent := range agents {
		other := agents[1-i]
		if err := agent.OnCandidate(func(found ice.Candidate) {
			if found == nil {
				return
			}
			if same, err := ice.UnmarshalCandidate(found.Marshal()); err == nil {
				_ = other.AddRemoteCandidate(same) // else there is no path, which the test sees
			}
		}); err != nil {
			return err
		}
		if err := agent.GatherCandidates(); err != nil {
			return err
		}
	}
	host, err := c.dial(ctx, agents)
	if err != nil {
		return err
	}
	c.agent = agents[0]
	c.link.Store(host)
	return nil
}

func (c *call) dial(ctx context.Context, agents [2]*ice.Agent) (*ice.Conn, error) {
	var names, words [2]string
	for i, a := range agents {
		var err error
		if names[i], words[i], err = a.GetLocalUserCredentials(); err != nil {
			return nil, err
		}
	}
	failed := make(chan error, 1)
	go func() {
		guest, err := agents[1].Accept(ctx, names[0], words[0])
		failed <- err
		if err != nil {
			return
		}
		in := make([]byte, 100)
		for {
			if _, err := guest.Read(in); err != nil {
				return
			}
			c.heard.Add(1)
		}
	}()
	host, err := agents[0].Dial(ctx, names[1], words[1])
	if err != nil {
		return nil, err
	}
	return host, <-failed
}

// flows sends until the guest has heard n packets more, or for so long in vain.
func (c *call) flows(n int64, patience time.Duration) error {
	from := c.heard.Load()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for c.heard.Load() < from+n {
		select {
		case <-tick.C:
			_, _ = c.link.Load().Write([]byte("packet")) // what fails is not heard
		case <-late:
			return fmt.Errorf("heard %d packets in %v, want %d", c.heard.Load()-from, patience, n)
		}
	}
	return nil
}
