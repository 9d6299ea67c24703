package stats

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"causeway/internal/sqldb"
	"causeway/internal/sqldb/sqldbtest"
)

// childEnv makes this test binary a process that counts until it is killed.
const childEnv = "CAUSEWAY_STATS_TEST_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(childEnv); url != "" {
		fmt.Fprintln(os.Stderr, child(context.Background(), url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child counts messages as fast as its parent reads. It says "add N" before each, and "stored N" after a
// write: how many were counted before that write began.
func child(ctx context.Context, url string) error {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	if err != nil {
		return err
	}
	r, err := New(Config{Store: NewStore(db)})
	if err != nil {
		return err
	}
	var added atomic.Int64
	go func() {
		for n := int64(1); ; n++ {
			fmt.Printf("add %d\n", n)
			r.MessagePassed()
			added.Store(n)
		}
	}()
	for stored := int64(0); ; {
		before := added.Load()
		if before == stored { // nothing new to write
			runtime.Gosched()
			continue
		}
		stored = before
		if err := r.Flush(ctx); err != nil {
			return err
		}
		fmt.Printf("stored %d\n", before)
	}
}

// killed runs processes on one database, one after another, and kills each with SIGKILL at another
// moment: what is stored is at most what happened, at least what was counted before the last write began,
// and nothing is there twice.
func killed(t *testing.T, url string) {
	s := NewStore(sqldbtest.Open(t, url))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var atLeast, atMost int64
	for i := range 4 {
		stored, happened := runAndKill(t, url, 2+i, 37*i)
		atLeast, atMost = atLeast+stored, atMost+happened
		u, err := s.Usage(t.Context(), time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if u.Messages < atLeast || u.Messages > atMost {
			t.Errorf("after %d kills %d are stored; want %d to %d", i+1, u.Messages, atLeast, atMost)
		}
		t.Logf("%d ≤ %d ≤ %d", atLeast, u.Messages, atMost)
		// What is there is exact from here on, since the dead do not write.
		atLeast, atMost = u.Messages, u.Messages
	}
	if atMost == 0 {
		t.Error("nothing was stored, so this proved nothing")
	}
}

// runAndKill kills after a number of writes and then of lines, in the midst of the next write most likely.
func runAndKill(t *testing.T, url string, writes, lines int) (stored, happened int64) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+url)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	in := bufio.NewScanner(out)
	for in.Scan() { // to the end: what it had said before it was killed
		var n int64
		switch line := in.Text(); {
		case scan(line, "add %d", &n):
			happened = n
		case scan(line, "stored %d", &n):
			stored = n
			writes--
		default:
			t.Errorf("it said %q", line)
		}
		if lines--; writes <= 0 && lines <= 0 && !killed {
			killed = true
			if err := c.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); !killed {
		t.Fatalf("it ended by itself: %v\n%s", err, said.String())
	}
	return stored, happened
}

func scan(line, format string, n *int64) bool {
	got, err := fmt.Sscanf(line, format, n)
	return err == nil && got == 1
}
