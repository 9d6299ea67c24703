package relay

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// Coturn's client moves data between pairs of its own allocations through this server.
func TestCoturnClient(t *testing.T) {
	if os.Getenv("CAUSEWAY_TEST_COTURN") != "1" {
		t.Log("NOT RUN: interoperation with coturn's client; CAUSEWAY_TEST_COTURN=1 runs it, as make test does")
		return
	}
	tool, err := exec.LookPath("turnutils_uclient")
	if err != nil {
		t.Fatal("turnutils_uclient is missing: install the Debian package coturn (apt-get install coturn)")
	}
	for name, flags := range map[string][]string{
		"udp channels":    nil,
		"udp indications": {"-s"},
		"tcp channels":    {"-t"},
		"tcp indications": {"-t", "-s"},
		"extra requests":  {"-G"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the tool takes its time
			r := start(t, func(c *Config) { c.Limits.AllocationsPerHolder = 100 })
			// -y: to each other; -c: no RTCP pair, so no EVEN-PORT; 2 clients, 50 messages each.
			args := append([]string{"-y", "-c", "-m", "2", "-n", "50", "-l", "600", "-z", "5",
				"-u", "coturn", "-W", string(r.getSecrets()[0]), "-p", strconv.Itoa(int(r.Addr().Port()))}, flags...)
			args = append(args, "127.0.0.1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// It asks for EVEN-PORT by chance.
			out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !regexp.MustCompile(`tot_send_msgs=100\b`).Match(out) || !regexp.MustCompile(`Total lost packets 0\b`).Match(out) {
				t.Errorf("output\n%s", out)
			}
			// Every message crosses two allocations.
			if n := r.count("packets_total", "hairpin"); n < 100 {
				t.Errorf("%v packets relayed, want 100 or more", n)
			}
		})
	}
}
