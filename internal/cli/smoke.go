package cli

import (
	"context"
	"fmt"
	"time"

	"causeway/internal/smoke"
)

// smokeCommand asks a deployment from outside whether it works.
type smokeCommand struct {
	URL      string        `arg:"" help:"Origin of the API: of causeway serve, of a function app, of a container app."`
	NoRelay  bool          `name:"no-relay" help:"The deployment has no relay: leave that step out."`
	Patience time.Duration `default:"30s" help:"How long each step may take: a function app that sleeps needs some seconds to wake."`
}

// Run takes the steps, and prints each.
func (c *smokeCommand) Run(ctx context.Context, s streams) error {
	err := smoke.Run(ctx, smoke.Config{
		URL: c.URL, Relay: !c.NoRelay, Patience: c.Patience,
		Report: func(step smoke.Step) {
			mark := "ok    "
			if step.Err != nil {
				mark = "FAILED"
			}
			fmt.Fprintf(s.out, "%s %-32s %5d ms\n", mark, step.Name, step.Took.Milliseconds())
		},
	})
	if err != nil {
		return fmt.Errorf("smoke: %w", err)
	}
	fmt.Fprintln(s.out, "it works")
	return nil
}
