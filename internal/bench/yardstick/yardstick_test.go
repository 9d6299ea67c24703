package yardstick

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	if err := Run(t.Context(), "mile", io.Discard); err == nil {
		t.Error("any kind is served")
	}
	for _, kind := range []Kind{Plain, Upgrade} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, kind, w) }()
		line, err := bufio.NewReader(r).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		// A connection that says nothing does not keep it from ending.
		c, err := net.Dial("tcp4", strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Logf("reset: %v", err) // as good an end as any
		}
		_ = c.Close()
	}
}
