package acceptance

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sessionBudget of the server under attack.
const sessionBudget = 16 << 20

// scene is a server, and a host whose session the test is about.
type scene struct {
	t             *testing.T
	prefix, files string
	host          *process
	invite        string
	at            string // the address of open-a, without a port
}

func newScene(t *testing.T, letter string, flags ...string) *scene {
	s := &scene{t: t, prefix: namespaces(t, letter, "symmetric", "open"), files: certificates(t), at: "11.0.0.13"}
	serve(t, s.prefix+"-server", s.files, flags...)
	s.meet()
	return s
}

// meet begins another session.
func (s *scene) meet() {
	s.host = s.attendant("symmetric-a", "")
	s.invite = s.host.line(s.t)
}

func (s *scene) attendant(where, invite string) *process {
	return inside(s.t, s.prefix+"-"+where, "attendant", s.files, []string{"CAUSEWAY_TEST_INVITE=" + invite})
}

// target starts one at open-a, and returns its address and port.
func (s *scene) target(c ticket) (p *process, addr string) {
	p = inside(s.t, s.prefix+"-open-a", "target", s.files, []string{"CAUSEWAY_TEST_USER=" + c.Username, "CAUSEWAY_TEST_PASS=" + c.Credential})
	return p, s.at + ":" + p.line(s.t)
}

// tunnel starts one, with n allocations of c.
func (s *scene) tunnel(where string, c ticket, to string, n int) *process {
	return inside(s.t, s.prefix+"-"+where, "tunnel", s.files, []string{"CAUSEWAY_TEST_USER=" + c.Username, "CAUSEWAY_TEST_PASS=" + c.Credential,
		"CAUSEWAY_TEST_TARGET=" + to, "CAUSEWAY_TEST_COUNT=" + strconv.Itoa(n)})
}

// read decodes what a process says next.
func read[T any](t *testing.T, p *process) (v T) {
	t.Helper()
	line := p.line(t)
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return v
}

func (p *process) say(t *testing.T, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		t.Fatal(err)
	}
}

// count asks a target.
func count(t *testing.T, p *process) counted {
	t.Helper()
	p.say(t, "count")
	return read[counted](t, p)
}

// Acceptance tests 2 and 6: a credential that was copied from a client, or is its holder's own, gets nothing to
// a server that is no member, whether by coturn's client or as a tunnel of DTLS through many allocations.
// To a member it passes, and is cut at the budget.
func TestTunnel(t *testing.T) {
	s := newScene(t, "t", "--budget-session="+strconv.Itoa(sessionBudget), "--budget-member-share=100")
	guest := s.attendant("symmetric-b", s.invite)
	stolen := read[ticket](t, s.host)
	if stolen.Username == "" || read[ticket](t, guest).Username == "" {
		t.Fatal("no credentials")
	}
	outside, addr := s.target(ticket{})
	for _, thief := range []string{"open-b", "symmetric-a"} {
		out := read[outcome](t, s.tunnel(thief, stolen, addr, 6))
		if out.Allocated != 6 || out.Forbidden < 6 || out.Shaken != 0 {
			t.Errorf("from %s, to a server that is no member: %+v", thief, out)
		}
	}
	coturn(t, s, stolen, addr)
	if got := count(t, outside); got != (counted{}) {
		t.Errorf("a server that is no member got %+v", got)
	}
	guest.say(t, "metrics")
	if m := read[map[string]float64](t, guest); m[`bytes_total{direction="to_peer"}`] != 0 || m[`refusals_total{reason="peer"}`] < 12 {
		t.Errorf("metrics of the server: %v", m)
	}

	// The server joins a session.
	s.meet()
	member := s.attendant("open-a", s.invite)
	mine, its := read[ticket](t, s.host), read[ticket](t, member)
	joined, addr := s.target(its)
	flood := s.tunnel("symmetric-a", mine, addr, 15)
	if out := read[outcome](t, flood); out.Allocated != 12 || out.NoQuota != 3 || out.Shaken == 0 {
		t.Fatalf("to a member: %+v", out)
	}
	if got := s.host.patient(t, 3*time.Minute); !strings.Contains(got, `"Spent":"`) || strings.Contains(got, `"Spent":""`) {
		t.Fatalf("the host is told %s, want a spent budget", got)
	}
	_ = flood.in.Close() // it stops flooding
	got := count(t, joined)
	if got.Bytes > sessionBudget || got.Payload < sessionBudget/2 {
		t.Errorf("a member got %+v, of a budget of %d", got, sessionBudget)
	}
	if again := read[outcome](t, s.tunnel("symmetric-a", mine, addr, 1)); again.Allocated != 0 {
		t.Errorf("after the cut: %+v", again)
	}
	t.Logf("delivered %d bytes of a budget of %d, in DTLS %d", got.Bytes, sessionBudget, got.Payload)
}

// coturn has its client try the same.
func coturn(t *testing.T, s *scene, c ticket, to string) {
	t.Helper()
	tool, err := exec.LookPath("turnutils_uclient")
	if err != nil {
		unavailable(t, "turnutils_uclient is missing (Debian package coturn)")
	}
	host, port, _ := strings.Cut(to, ":")
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", s.prefix+"-open-b", tool, "-e", host, "-r", port, "-n", "5", "-c",
		"-u", c.Username, "-w", c.Credential, "-p", "3478", "11.0.0.1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("coturn's client, to a server that is no member: %v, want 403\n%s", err, out)
	}
}

// Acceptance test 3: what runs by a credential stops within a second after its member left, and, if its
// connection was lost, within the grace and a second.
func TestLeaver(t *testing.T) {
	const grace = 2 * time.Second
	s := newScene(t, "l", "--relay-grace="+grace.String())
	for i, tt := range []struct {
		name   string
		leave  func(*process)
		within time.Duration
	}{
		{"bye", func(p *process) { p.say(t, "bye") }, time.Second},
		{"lost", func(p *process) { _ = p.cmd.Process.Signal(syscall.SIGKILL) }, grace + time.Second},
	} {
		if i > 0 {
			s.meet()
		}
		member := s.attendant("open-a", s.invite)
		mine, its := read[ticket](t, s.host), read[ticket](t, member)
		to, addr := s.target(its)
		flow := s.tunnel("symmetric-a", mine, addr, 0)
		if out := read[outcome](t, flow); out.Allocated != 1 || out.Forbidden > 0 {
			t.Fatalf("%s: %+v", tt.name, out)
		}
		for count(t, to).Datagrams < 20 {
		}
		left := time.Now()
		tt.leave(s.host)
		stopped(t, member)
		last := time.Unix(0, count(t, to).Stamp).Sub(left)
		t.Logf("%s: the last datagram that arrived was sent %v later", tt.name, last)
		if last > tt.within {
			t.Errorf("%s: data flowed for %v, want at most %v", tt.name, last, tt.within)
		}
		if again := read[outcome](t, s.tunnel("symmetric-a", mine, addr, 1)); again.Allocated != 0 {
			t.Errorf("%s: after the end: %+v", tt.name, again)
		}
		_ = flow.in.Close()
	}
}

// stopped waits until the server drops a flow's datagrams, fifty of them.
func stopped(t *testing.T, asks *process) {
	t.Helper()
	const dropped = `drops_total{reason="unsolicited"}`
	began := float64(-1)
	for end := time.Now().Add(30 * time.Second); ; {
		asks.say(t, "metrics")
		n := read[map[string]float64](t, asks)[dropped]
		if began < 0 {
			began = n
		}
		if n >= began+50 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the flow does not stop")
		}
	}
}
