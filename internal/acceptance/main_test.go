package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"causeway/internal/cli"
)

// role is the environment variable that makes this test binary something else: the
// program itself, or a peer of a test.
const role = "CAUSEWAY_TEST_ROLE"

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := 0
	as := os.Getenv(role)
	roles := map[string]func(context.Context) error{"peer": peer, "attendant": attendant, "target": runTarget, "tunnel": runTunnel}
	switch run := roles[as]; {
	case as == "causeway":
		status = cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	case run != nil:
		if err := run(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", as, err)
			status = 1
		}
	default:
		status = m.Run()
	}
	stop()
	os.Exit(status)
}
