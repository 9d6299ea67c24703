// Command causeway is the WebRTC backend that anyone can run, and the
// applications that prove it. Run it with --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"causeway/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains; after it, the next one has its default effect and ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
