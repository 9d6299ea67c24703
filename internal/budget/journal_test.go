package budget

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// killed is the variable that makes the test binary a process that leases, for TestKill.
const killed = "CAUSEWAY_TEST_BUDGET_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killed); dir != "" {
		if err := leaseForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// leaseForever prints each lease after it was given, until the day is spent or it is killed.
func leaseForever(dir string) error {
	l, err := New(Config{Dir: dir, Session: Cap{Bytes: Unlimited}, Day: Cap{Bytes: 1 << 30}, Prices: map[string]int64{"": 1_000_000}})
	if err != nil {
		return err
	}
	if err := l.Open("g", Chain{Session: "s", Member: "m"}, 0); err != nil {
		return err
	}
	for i := 0; ; i++ {
		n, err := l.Lease(context.Background(), "g", 100_000)
		if err != nil {
			return err
		}
		if i%2 == 0 { // the others stay outstanding
			if err := l.Settle(context.Background(), "g", n, n, 0); err != nil {
				return err
			}
		}
		fmt.Println(n)
	}
}

// After kill -9, whatever was leased is spent.
func TestKill(t *testing.T) {
	dir, day := t.TempDir(), time.Now().UTC().Format(time.DateOnly)
	var given int64
	for round := range 3 {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), killed+"="+dir)
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		must(t, c.Start())
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			var n int64
			if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
				t.Fatal(err)
			}
			given += n
			if i == 100+50*round {
				must(t, c.Process.Kill())
			}
		}
		if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != -1 {
			t.Fatalf("it ended by itself: %v", err)
		}
		j := journal{}
		must(t, j.open(dir, time.Now()))
		must(t, j.close())
		if j.mark.Day != day {
			t.Log("a new day began, and the old one's account ended")
			return
		}
		for _, m := range j.mark.Of {
			if m.Bytes < given || m.Money < given/1000 {
				t.Fatalf("round %d: %d were given, the file knows of %+v", round, given, m)
			}
			if m.Bytes > given+int64(round+1)*(maxAhead+200_000) {
				t.Errorf("round %d: %d were given, the file has %+v", round, given, m)
			}
		}
	}
}

// crash drops a Ledger without Close: what the process had in memory is gone.
func crash(t *testing.T, l *Ledger) {
	t.Helper()
	must(t, l.journal.close())
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "made")
		cfg := Config{Dir: dir, Session: Cap{Bytes: Unlimited}, Day: Cap{Bytes: 10 * mb}, Prices: map[string]int64{"": 1_000_000}}
		l, err := New(cfg)
		must(t, err)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("two ledgers in one directory: %v", err)
		}
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		n, err := l.Lease(t.Context(), "g", 3*mb)
		if n != 3*mb || err != nil {
			t.Fatal(n, err)
		}
		must(t, l.Settle(t.Context(), "g", mb, mb/2, mb))
		crash(t, l) // 1 MB delivered, 1 MB outstanding; the file was written at the lease of 3
		if _, err := l.Lease(t.Context(), "g", 5*mb); err == nil {
			t.Error("a lease without the file")
		}

		l, err = New(cfg)
		must(t, err)
		day, month := l.Status()
		if spent := int64(3*mb + 10*mb/256); day.Delivered != spent || day.Left != 10*mb-spent || day.Leased != 0 || month.Delivered < 3*mb || day.MoneyDelivered < 3000 {
			t.Errorf("after a crash: %+v, %+v", day, month)
		}
		must(t, l.check())
		must(t, l.Close()) // a clean end writes the truth

		l, err = New(cfg)
		must(t, err)
		if again, _ := l.Status(); again != day {
			t.Errorf("after a clean end: %+v", again)
		}
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		if n, err := take(t, l, "g", mb, 1<<40); n != day.Left || !errors.Is(err, ErrSpent) {
			t.Errorf("took %d: %v", n, err)
		}
		crash(t, l)
		l, err = New(cfg) // a spent day stays spent
		must(t, err)
		if err := l.Open("g", Chain{Session: "s", Member: "m"}, 0); !errors.Is(err, ErrSpent) {
			t.Errorf("%v", err)
		}
		crash(t, l)

		cfg.Day.Bytes = 1 * mb // less than is spent
		l = open(t, cfg)
		if day, _ := l.Status(); day.Left >= 0 {
			t.Errorf("%+v", day)
		}
		if err := l.Open("g", Chain{Session: "s", Member: "m"}, 0); !errors.Is(err, ErrSpent) {
			t.Errorf("%v", err)
		}
		if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 2 {
			t.Errorf("%v, %v", files, err)
		}
	})
}

// Most leases sync nothing, and the file does not grow.
func TestFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, Config{Dir: dir, Session: Cap{Bytes: Unlimited}})
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		writes := 0
		last := l.journal.mark
		for range 1000 {
			if n, err := l.Lease(t.Context(), "g", mb); n != mb || err != nil {
				t.Fatal(n, err)
			}
			must(t, l.Settle(t.Context(), "g", mb, mb, 0))
			if l.journal.mark != last {
				writes, last = writes+1, l.journal.mark
			}
		}
		if writes > 1000*mb/maxAhead+1 {
			t.Errorf("%d writes for 1 GB", writes)
		}
		if i, err := os.Stat(filepath.Join(dir, journalName)); err != nil || i.Size() > 512 {
			t.Errorf("%v, %v", i.Size(), err)
		}
	})
}

func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Config{Dir: dir})
	must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
	must(t, os.Mkdir(filepath.Join(dir, journalName+".new"), 0o700)) // in the way
	if n, err := l.Lease(t.Context(), "g", mb); err == nil || errors.Is(err, ErrSpent) || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if day, _ := l.Status(); day.Left != day.Cap {
		t.Errorf("%+v", day)
	}
	must(t, os.Remove(filepath.Join(dir, journalName+".new")))
	if n, err := l.Lease(t.Context(), "g", mb); err != nil || n != mb {
		t.Errorf("%d, %v", n, err)
	}
}

func TestDamagedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, err := New(Config{Dir: dir})
		must(t, err)
		must(t, l.Close())
		name := filepath.Join(dir, journalName)
		good, err := os.ReadFile(name)
		must(t, err)
		bad := map[string][]byte{"empty": {}, "zeros": make([]byte, len(good)), "long": append(good, bytes.Repeat([]byte("x"), maxJournal)...), "twice": append(good, good...)}
		for i := range good {
			b := bytes.Clone(good)
			b[i] ^= 1
			bad[fmt.Sprint("byte ", i)] = b
			bad[fmt.Sprint("cut at ", i)] = good[:i]
		}
		sealed := func(line string) []byte { return []byte(line + "\n" + checksum([]byte(line))) }
		for _, line := range []string{"{}", "[]", `{"version":2,"day":"2000-01-01","month":"2000-01"}`, `{"version":1,"day":"x","month":"2000-01"}`, `{"version":1,"day":"2000-01-01","month":"x"}`,
			`{"version":1,"day":"2000-01-01","month":"2000-01","of":[{"bytes":-1},{}]}`, `{"version":1,"day":"2000-01-01","month":"2000-01","more":1}`} {
			bad[line] = sealed(line)
		}
		for what, b := range bad {
			must(t, os.WriteFile(name, b, 0o600))
			_, err := New(Config{Dir: dir})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("%s: %v", what, err)
			}
		}
		must(t, os.WriteFile(name, sealed(`{"version":1,"day":"2000-01-04","month":"2000-01","of":[{},{}]}`), 0o600))
		if _, err := New(Config{Dir: dir}); err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "future") {
			t.Errorf("a file of next week: %v", err)
		}
		must(t, os.WriteFile(name, good, 0o600))
		open(t, Config{Dir: dir})
	})
}

func FuzzParseMark(f *testing.F) {
	line := []byte(`{"version":1,"day":"2000-01-01","month":"2000-01","of":[{"bytes":1,"money":2},{"bytes":3,"money":4}]}`)
	f.Add(line)
	f.Fuzz(func(t *testing.T, line []byte) {
		if _, err := parseMark(line); err == nil {
			t.Fatal("accepted without a checksum")
		}
		m, err := parseMark(append(append(bytes.Clone(line), '\n'), checksum(line)...))
		if err == nil && (m.Of[0].Bytes < 0 || m.Of[1].Money < 0 || m.Version != 1) {
			t.Fatalf("%+v", m)
		}
	})
}

func TestRollOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock starts at 2000-01-01 00:00 UTC
		dir := t.TempDir()
		l := open(t, Config{Dir: dir, Session: Cap{Bytes: Unlimited}, Day: Cap{Bytes: 10 * mb}, Month: Cap{Bytes: 25 * mb}, Retain: 1000 * time.Hour})
		must(t, l.Open("g", Chain{Session: "s", Member: "m"}, 0))
		time.Sleep(24*time.Hour - time.Nanosecond)
		if n, err := take(t, l, "g", mb, 10*mb); n != 10*mb || err != nil {
			t.Fatal(n, err)
		}
		if _, err := l.Lease(t.Context(), "g", 1); !errors.Is(err, ErrSpent) {
			t.Errorf("before midnight: %v", err)
		}
		time.Sleep(time.Nanosecond)
		n, err := l.Lease(t.Context(), "g", 4*mb)
		if n != 4*mb || err != nil {
			t.Errorf("after midnight: %d, %v", n, err)
		}
		must(t, l.Settle(t.Context(), "g", mb, 0, 0))
		time.Sleep(24 * time.Hour) // 3 MB are leased over midnight
		day, month := l.Status()
		if day.Leased != 3*mb || day.Delivered != 0 || month.Delivered != 11*mb || month.Leased != 3*mb {
			t.Errorf("%+v, %+v", day, month)
		}
		must(t, l.Settle(t.Context(), "g", 3*mb, 0, 0))
		if n, err := take(t, l, "g", mb, 7*mb); n != 7*mb || err != nil {
			t.Error(n, err)
		}
		time.Sleep(24 * time.Hour)
		if n, err := take(t, l, "g", mb, 1<<40); n != 4*mb || !errors.Is(err, ErrSpent) {
			t.Errorf("the rest of the month: %d, %v", n, err)
		}
		var cuts, warnings int
		for len(l.Events()) > 0 {
			if e := <-l.Events(); e.Kind == Cut {
				cuts++
			} else {
				warnings++
			}
		}
		if cuts != 3 || warnings != 3 { // two days and the month
			t.Errorf("%d cuts, %d warnings", cuts, warnings)
		}
		time.Sleep(28 * 24 * time.Hour) // to the first of February
		if n, err := take(t, l, "g", mb, 10*mb); n != 10*mb || err != nil {
			t.Errorf("a new month: %d, %v", n, err)
		}
		crash(t, l)

		// A file of yesterday counts for the month only, one of last month not at all.
		time.Sleep(24 * time.Hour)
		l2, err := New(Config{Dir: dir, Day: Cap{Bytes: 10 * mb}, Month: Cap{Bytes: 25 * mb}})
		must(t, err)
		if day, month := l2.Status(); day.Delivered != 0 || month.Delivered != 10*mb+25*mb/256 && month.Delivered != 10*mb {
			t.Errorf("%+v, %+v", day, month)
		}
		must(t, l2.Close())
		time.Sleep(28 * 24 * time.Hour)
		l2, err = New(Config{Dir: dir})
		must(t, err)
		if day, month := l2.Status(); day.Delivered != 0 || month.Delivered != 0 {
			t.Errorf("%+v, %+v", day, month)
		}
		must(t, l2.Close())
		must(t, l.journal.open(dir, time.Now())) // for open's clean-up
	})
}

// A clock that went back by less than two days does not make a fresh day.
func TestClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j := journal{}
		must(t, j.open(dir, time.Now()))
		must(t, j.write([2]amount{{9 * mb, 0}, {9 * mb, 0}}, "2000-01-02", "2000-01"))
		must(t, j.close())
		l := open(t, Config{Dir: dir, Day: Cap{Bytes: 10 * mb}})
		if day, month := l.Status(); day.Left != mb || month.Delivered != 9*mb {
			t.Errorf("%+v", day)
		}
		time.Sleep(48 * time.Hour)
		if day, _ := l.Status(); day.Left != 10*mb {
			t.Errorf("%+v", day)
		}
	})
}

func TestPeriods(t *testing.T) {
	for now, want := range map[string][2]string{
		"2000-01-01T00:00:00Z":      {"2000-01-01", "2000-01"},
		"2026-11-30T23:59:59Z":      {"2026-11-30", "2026-11"},
		"2026-12-31T23:59:59Z":      {"2026-12-31", "2026-12"},
		"2024-02-29T12:00:00Z":      {"2024-02-29", "2024-02"},
		"2026-12-31T23:59:59-08:00": {"2027-01-01", "2027-01"},
		"2026-03-31T00:00:00+02:00": {"2026-03-30", "2026-03"},
	} {
		at, err := time.Parse(time.RFC3339, now)
		must(t, err)
		day, month := periods(at)
		if got := [2]string{dayOf(day), monthOf(month)}; got != want {
			t.Errorf("%s: %v, want %v", now, got, want)
		}
	}
}
