package sqlledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"causeway/internal/budget"
	"causeway/internal/sqldb"
)

// childEnv makes this test binary a process that opens a grant, and is killed before it can close it.
const childEnv = "CAUSEWAY_SQLLEDGER_TEST_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(childEnv); url != "" {
		fmt.Fprintln(os.Stderr, child(context.Background(), url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// withUsage is a configuration with a provider that is asked what its grants have used.
func withUsage(ask budget.UsageFunc) budget.Config {
	return budget.Config{
		Session: budget.Cap{Bytes: 8 * mb}, MemberShare: 100,
		Prices: map[string]int64{"p": 50_000}, Usage: map[string]budget.UsageFunc{"p": ask},
	}
}

func silent(context.Context, []string) (map[string]int64, error) { return nil, nil }

// child leases of one grant, is about to take back another, and gets no further.
func child(ctx context.Context, url string) error {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	if err != nil {
		return err
	}
	l, err := New(db, withUsage(silent), time.Hour)
	if err != nil {
		return err
	}
	if err := l.Open(ctx, "leasing", budget.Chain{Session: "s", Member: "m"}, 0); err != nil {
		return err
	}
	if _, err := l.Lease(ctx, "leasing", 2*mb); err != nil {
		return err
	}
	if err := l.Open(ctx, "bought", budget.Chain{Session: "t", Member: "m", Price: "p"}, 0); err != nil {
		return err
	}
	fmt.Println("about to close")
	_, err = io.Copy(io.Discard, os.Stdin) // until it is killed
	return err
}

// kill runs a child and kills it when it is about to close its grants.
func kill(t *testing.T, url string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+url)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.StdoutPipe()
	must(t, err)
	_, err = c.StdinPipe() // closed by Wait
	must(t, err)
	must(t, c.Start())
	in := bufio.NewScanner(out)
	if !in.Scan() || in.Text() != "about to close" {
		t.Errorf("it said %q %s", in.Text(), said.String())
	}
	must(t, c.Process.Kill()) // SIGKILL
	_ = c.Wait()              // killed
}

// What a process that was killed has left open is counted as long as its credential may be good, and then closed.
func left(t *testing.T, url string) {
	ctx := t.Context()
	kill(t, url)
	used := int64(0)
	l := open(t, url, withUsage(func(_ context.Context, grants []string) (map[string]int64, error) {
		all := map[string]int64{}
		for _, g := range grants {
			all[g] = used
		}
		return all, nil
	}))
	young := func(id, session string) {
		t.Helper()
		must(t, l.Open(ctx, id, budget.Chain{Session: session, Member: "other"}, 0))
	}
	young("young", "s")
	used = mb
	must(t, l.Tick(ctx))
	if s, _, err := l.Session(ctx, "t"); err != nil || s.Delivered != mb {
		t.Errorf("what is used by a credential that nobody took back is not counted: %+v, %v", s, err)
	}
	if s, _, err := l.Session(ctx, "s"); err != nil || s.Leased != 2*mb {
		t.Errorf("closed too soon: %+v, %v", s, err)
	}

	// Their credentials have been dead for an hour.
	long := time.Now().Add(-time.Hour - maxClosing - time.Second).Unix()
	for _, id := range []string{"leasing", "bought"} {
		_, err := l.db.Exec(l.db.Rebind("UPDATE budget_grants SET opened_at = ? WHERE id = ?"), long, key(id))
		must(t, err)
	}
	used = 3 * mb
	must(t, l.Tick(ctx))
	if s, _, err := l.Session(ctx, "s"); err != nil || s.Leased != 0 || s.Delivered != 2*mb {
		t.Errorf("what it had leased does not count as spent: %+v, %v", s, err)
	}
	if s, _, err := l.Session(ctx, "t"); err != nil || s.Delivered != 3*mb {
		t.Errorf("what was used last is not counted: %+v, %v", s, err)
	}
	var n int
	must(t, l.db.QueryRow(countGrants).Scan(&n))
	if n != 1 {
		t.Errorf("%d grants are open, want the young one", n)
	}
	if n, err := l.Lease(ctx, "young", mb); err != nil || n != mb {
		t.Errorf("the young one is closed: %d, %v", n, err)
	}
	check(t, l)
}
