//go:build linux

package measure

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Child is a process that a benchmark has started.
type Child struct {
	// Line is the first line that it printed.
	Line  string
	PID   int
	ended chan struct{}
	log   *tail
	err   error // of the process, once ended
}

const (
	// StartTimeout is how long a server may take until it serves.
	StartTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
)

// Start starts argv and waits for its first line. env is added to the environment.
func Start(ctx context.Context, argv []string, env ...string) (*Child, error) {
	c, lines, err := start(argv, env)
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(StartTimeout)
	defer late.Stop()
	select {
	case c.Line = <-lines:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("%s ended before it was ready: %w\n%s", strings.Join(argv, " "), errors.Join(c.err), c.log)
	case <-late.C:
		err = fmt.Errorf("%s printed nothing for %v\n%s", strings.Join(argv, " "), StartTimeout, c.log)
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.Stop()
	return nil, err
}

// StartSilent starts argv, which says nothing when it is ready.
func StartSilent(argv []string, env ...string) (*Child, error) {
	c, _, err := start(argv, env)
	return c, err
}

// Ended is closed when the process has.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Err says how the process ended, and what it wrote last. Only for one that has.
func (c *Child) Err() error { return fmt.Errorf("the server ended: %w\n%s", errors.Join(c.err), c.log) }

func start(argv, env []string) (*Child, <-chan string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	c := &Child{ended: make(chan struct{}), log: &tail{}}
	cmd.Stderr = c.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	started := make(chan error)
	lines := make(chan string, 1)
	go func() { // ends with the process, for which Stop waits
		// The kernel kills the child when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		r := bufio.NewReader(out)
		line, err := r.ReadString('\n')
		if err == nil {
			lines <- strings.TrimSpace(line)
			_, _ = io.Copy(io.Discard, r)
		}
		c.err = cmd.Wait()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	c.PID = cmd.Process.Pid
	return c, lines, nil
}

// Stop asks the process to end, and makes it.
func (c *Child) Stop() {
	_ = syscall.Kill(c.PID, syscall.SIGTERM) // it may have ended
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-c.ended:
		return
	case <-late.C:
	}
	_ = syscall.Kill(c.PID, syscall.SIGKILL)
	<-c.ended
}

// tail keeps the end of what is written to it. One goroutine writes; it is read
// when that has ended or nothing more is expected.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > keep {
		t.buf = t.buf[len(t.buf)-keep:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }

// tick is the unit of CPU times in /proc (USER_HZ), the same on all Linux systems
// that Go runs on.
const tick = 10 * time.Millisecond

// CPU is the CPU time of a process so far, user and system (proc(5), stat).
func CPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("cpu time of the server: %w", err)
	}
	// The second field is the name in parentheses, and may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("cpu time of the server: unexpected /proc/PID/stat")
	}
	user, errU := strconv.ParseInt(string(fields[11]), 10, 64)
	system, errS := strconv.ParseInt(string(fields[12]), 10, 64)
	if err := errors.Join(errU, errS); err != nil {
		return 0, fmt.Errorf("cpu time of the server: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// Resident is the resident memory of a process in bytes (proc(5), statm).
func Resident(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, fmt.Errorf("memory of the server: %w", err)
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, errors.New("memory of the server: unexpected /proc/PID/statm")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of the server: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// ThisMachine describes this computer.
func ThisMachine() Machine {
	m := Machine{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	for _, line := range strings.Split(readText("/proc/cpuinfo"), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	m.Kernel = strings.TrimSpace(readText("/proc/sys/kernel/osrelease"))
	m.LoadAvg = strings.TrimSpace(readText("/proc/loadavg"))
	return m
}

// readText reads a file that may not be there.
func readText(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}

// RaiseLimit raises the limit of open files of this process, and of its children, as
// far as it may, and returns it.
func RaiseLimit() (int, error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	if r.Cur < r.Max {
		r.Cur = r.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return 0, err
		}
	}
	return int(min(r.Cur, 1<<30)), nil
}
