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
	switch os.Getenv(role) {
	case "causeway":
		status = cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	case "peer":
		if err := peer(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			status = 1
		}
	default:
		status = m.Run()
	}
	stop()
	os.Exit(status)
}
