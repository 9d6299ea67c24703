//go:build unix

package sqldbtest

import (
	"bytes"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for slow machines.
const patience = 2 * time.Minute

// start starts a server that is stopped with the test. What it returns waits until ping succeeds.
func start(t testing.TB, as *syscall.Credential, dir, name string, args ...string) func(ping func() error) error {
	t.Helper()
	c := command(as, dir, name, args...)
	var said lockedBuffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGINT) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			_ = c.Process.Kill()
			<-ended
		}
	})
	return func(ping func() error) error {
		deadline := time.After(patience)
		for {
			err := ping()
			if err == nil {
				return nil
			}
			select {
			case e := <-ended:
				ended <- e
				return fmt.Errorf("%s ended: %w\n%s", name, e, said.String())
			case <-deadline:
				return fmt.Errorf("%s does not answer: %w\n%s", name, err, said.String())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
