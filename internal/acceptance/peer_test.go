package acceptance

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/realtimetest"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// payload is how many bytes go either way, in messages of chunk bytes.
const (
	chunk   = 1000
	payload = 64 * chunk
)

// result is what a peer says in the end.
type result struct {
	// Path is "direct", or how this peer reaches its relay: udp, tcp, tls.
	Path          string
	Local, Remote string // candidate types
	Bytes         int
}

// lazy is how long peers look for a direct path before they ask for a relay
// (docs/protocol.md §3).
const lazy = 1500 * time.Millisecond

// member is a peer of a session: what a page is, without the page.
type member struct {
	hub     *realtimetest.Client
	role    string
	other   string // the other's peer id
	n       atomic.Int64
	stun    []*stun.URI
	relay   []*stun.URI
	agent   *ice.Agent
	link    int
	early   map[int][]string // candidates of links that we have no agent for yet
	opened  chan *ice.Conn   // one a link
	pending chan event
}

// event is a hub event.
type event struct {
	target string
	from   struct {
		From, Role string
		Link       int
		ICEServers []server
		Data       negotiation

		Level, State string // of a budget
	}
}

// negotiation is the data of a signal. Our "SDP" is what ICE needs of one.
type negotiation struct {
	Type        string `json:"type"`
	Link        int    `json:"link"`
	Description struct {
		Type string `json:"type"`
		SDP  string `json:"sdp"`
	} `json:"description"`
	Candidate struct {
		Candidate string `json:"candidate"`
	} `json:"candidate"`
}

type server struct {
	URLs                 []string
	Username, Credential string
}

// peer runs a member: the host makes a session and says its invite; a guest has one.
func peer(ctx context.Context) error {
	m := &member{role: "host", early: map[int][]string{}, opened: make(chan *ice.Conn, 4), pending: make(chan event, 64)}
	invite := os.Getenv("CAUSEWAY_TEST_INVITE")
	if invite != "" {
		m.role = "guest"
	}
	grant, invite, err := m.join(ctx, invite)
	if err != nil {
		return err
	}
	if m.role == "host" {
		fmt.Println(invite)
	}
	if err := m.connect(ctx, grant); err != nil {
		return err
	}
	r, err := m.run(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	fmt.Println(string(b))
	<-ctx.Done() // the other may still need us
	return nil
}

const base = "https://relay.test"

// post asks the server, with a bearer token.
func post(ctx context.Context, path, bearer, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// join makes a session, or joins that of an invite.
func (m *member) join(ctx context.Context, invite string) (grant, newInvite string, err error) {
	var a struct{ Grant, Invite string }
	if invite == "" {
		err = post(ctx, "/api/sessions", "", "{}", &a)
	} else {
		err = post(ctx, "/api/sessions/join", "", `{"invite":"`+invite+`"}`, &a)
	}
	return a.Grant, a.Invite, err
}

// connect opens signaling.
func (m *member) connect(ctx context.Context, grant string) error {
	var i struct{ ICEServers []server }
	if err := post(ctx, "/api/ice", grant, "", &i); err != nil {
		return err
	}
	var err error
	if m.stun, err = uris(i.ICEServers); err != nil {
		return err
	}
	var ep struct{ URL, AccessToken string }
	if err := post(ctx, "/api/negotiate", grant, "", &ep); err != nil {
		return err
	}
	if m.hub, err = realtimetest.Dial(ctx, realtime.Endpoint{URL: ep.URL, AccessToken: ep.AccessToken}, realtimetest.Options{}); err != nil {
		return err
	}
	go m.listen(ctx)
	return m.hello()
}

func (m *member) hello() error {
	return m.hub.Send("hello", map[string]any{"n": m.n.Add(1)})
}

func uris(servers []server) (all []*stun.URI, err error) {
	for _, s := range servers {
		for _, text := range s.URLs {
			u, err := stun.ParseURI(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", text, err)
			}
			u.Username, u.Password = s.Username, s.Credential
			all = append(all, u)
		}
	}
	return all, nil
}

// listen passes on the events of the hub.
func (m *member) listen(ctx context.Context) {
	defer close(m.pending)
	for {
		msg, err := m.hub.Next(ctx)
		if err != nil {
			return
		}
		e := event{target: msg.Target}
		if len(msg.Arguments) > 0 && json.Unmarshal(msg.Arguments[0], &e.from) == nil {
			m.pending <- e
		}
	}
}

// run negotiates links until one has carried all bytes.
func (m *member) run(ctx context.Context) (result, error) {
	var patience <-chan time.Time
	for {
		select {
		case e, ok := <-m.pending:
			if !ok {
				return result{}, errors.New("signaling has ended")
			}
			if err := m.on(ctx, e); err != nil {
				return result{}, fmt.Errorf("%s: %w", e.target, err)
			}
			if e.from.Data.Type == "description" && m.link == 1 && m.role == "host" {
				patience = time.After(lazy)
			}
		case <-patience:
			if _, err := m.hub.Invoke(ctx, "relay", map[string]any{"to": m.other, "link": m.link, "bytes": payload}); err != nil {
				return result{}, err
			}
		case c := <-m.opened:
			return m.exchange(ctx, c)
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
	}
}

// on handles an event.
func (m *member) on(ctx context.Context, e event) (err error) {
	switch e.target {
	case "hello":
		m.other = e.from.From
		if m.role == "guest" {
			return m.hello() // the host may not have heard the first
		}
		if m.link == 0 {
			return m.offer(m.stun)
		}
	case "relay":
		if m.relay, err = uris(e.from.ICEServers); err != nil {
			return err
		}
		if m.role == "host" {
			return m.offer(append(m.relay, m.stun...))
		}
	case "signal":
		return m.signaled(ctx, e.from.From, e.from.Data)
	}
	return nil
}

// signaled handles a signal.
func (m *member) signaled(ctx context.Context, from string, d negotiation) error {
	switch d.Type {
	case "candidate":
		if d.Link != m.link {
			m.early[d.Link] = append(m.early[d.Link], d.Candidate.Candidate)
			return nil
		}
		return m.add(d.Candidate.Candidate)
	case "description":
		if m.role == "guest" {
			m.other, m.link = from, d.Link
			if err := m.gather(append(m.relay, m.stun...), "answer"); err != nil {
				return err
			}
		}
		if d.Link == m.link {
			return m.described(ctx, d.Description.SDP)
		}
	}
	return nil
}

// offer begins the next link.
func (m *member) offer(servers []*stun.URI) error {
	m.link++
	return m.gather(servers, "offer")
}

// gather makes an agent and describes it, then each of its candidates as they come.
func (m *member) gather(servers []*stun.URI, kind string) error {
	if m.agent != nil {
		if err := m.agent.Close(); err != nil {
			return err
		}
	}
	agent, err := ice.NewAgentWithOptions(ice.WithUrls(servers),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeTCP4}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled))
	if err != nil {
		return err
	}
	m.agent = agent
	link, to := m.link, m.other
	if err := agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			return
		}
		d := negotiation{Type: "candidate", Link: link}
		d.Candidate.Candidate = c.Marshal()
		_ = m.signal(to, d) // fails when signaling has ended, which run sees
	}); err != nil {
		return err
	}
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		return err
	}
	d := negotiation{Type: "description", Link: link}
	d.Description.Type, d.Description.SDP = kind, ufrag+"\n"+pwd
	if err := m.signal(to, d); err != nil {
		return err
	}
	return agent.GatherCandidates()
}

func (m *member) signal(to string, d negotiation) error {
	return m.hub.Send("signal", map[string]any{"to": to, "n": m.n.Add(1), "data": d})
}

func (m *member) add(candidate string) error {
	c, err := ice.UnmarshalCandidate(candidate)
	if err != nil {
		return err
	}
	return m.agent.AddRemoteCandidate(c)
}

// described begins to connect to the other's agent.
func (m *member) described(ctx context.Context, description string) error {
	ufrag, pwd, _ := strings.Cut(description, "\n")
	for _, c := range m.early[m.link] {
		if err := m.add(c); err != nil {
			return err
		}
	}
	connect := m.agent.Accept
	if m.role == "host" {
		connect = m.agent.Dial
	}
	go func() {
		if c, err := connect(ctx, ufrag, pwd); err == nil { // else another link will do
			m.opened <- c
		}
	}()
	return nil
}

// exchange has each chunk go from the host to the guest and back.
func (m *member) exchange(ctx context.Context, c *ice.Conn) (r result, err error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if m.role == "host" {
		r.Bytes, err = ask(c)
	} else {
		r.Bytes, err = reply(c)
	}
	if err != nil {
		return r, err
	}
	pair, err := m.agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return r, fmt.Errorf("no pair: %w", err)
	}
	r.Local, r.Remote, r.Path = pair.Local.Type().String(), pair.Remote.Type().String(), "direct"
	if relayed, ok := pair.Local.(*ice.CandidateRelay); ok {
		r.Path = relayed.RelayProtocol()
	}
	return r, nil
}

// ask sends every chunk, again until it has come back.
func ask(c *ice.Conn) (total int, err error) {
	b, in := make([]byte, chunk), make([]byte, 2*chunk)
	for i := range payload / chunk {
		binary.BigEndian.PutUint32(b, uint32(i))
		for back := false; !back; {
			if _, err := c.Write(b); err != nil {
				return total, err
			}
			if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				return total, err
			}
			n, err := c.Read(in)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
			case err != nil:
				return total, err
			default:
				back = bytes.Equal(in[:n], b)
			}
		}
		total += chunk
	}
	return total, nil
}

// reply sends back what comes, and goes on with it after the last chunk.
func reply(c *ice.Conn) (total int, err error) {
	in := make([]byte, 2*chunk)
	last := -1
	for total < payload {
		n, err := c.Read(in)
		if err != nil {
			return total, err
		}
		if _, err := c.Write(in[:n]); err != nil {
			return total, err
		}
		if i := int(binary.BigEndian.Uint32(in)); n == chunk && i == last+1 {
			last, total = i, total+chunk
		}
	}
	go func() { // the last one may have been lost
		for {
			n, err := c.Read(in)
			if err == nil {
				_, err = c.Write(in[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	return total, nil
}
