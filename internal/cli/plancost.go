package cli

import (
	"context"
	"fmt"

	"causeway/internal/plan"
)

// planCost says what a scenario costs.
type planCost struct {
	Scenario planFile `arg:"" optional:"" default:"worked-example" help:"A shipped scenario by name, or a YAML file. Default: ${default}."`
	Prices   planFile `env:"-" default:"default" placeholder:"FILE" help:"Price book: a YAML file in the place of the shipped one."`

	Clicks     *float64 `env:"-" placeholder:"N" help:"Transfer sessions a month."`
	FileMB     *float64 `name:"file-mb" env:"-" placeholder:"MB" help:"Payload of a session."`
	Overhead   *float64 `env:"-" placeholder:"SHARE" help:"Headers and repetitions, of the payload."`
	Acks       *float64 `env:"-" placeholder:"SHARE" help:"What flows back, of the payload."`
	Relayed    *float64 `env:"-" placeholder:"SHARE" help:"Share of the payload that takes the relay, 0 to 1."`
	Messages   *float64 `env:"-" placeholder:"N" help:"Messages that the realtime service sends for a session, in units of 2 KB."`
	Executions *float64 `env:"-" placeholder:"N" help:"Executions of functions for a session."`
	RPM        *float64 `name:"rpm" env:"-" placeholder:"DOLLARS" help:"What advertisements bring for a thousand views."`
	Allocation string   `env:"-" placeholder:"SIDE" help:"Who holds the relayed address: sender, receiver, both."`
	Relay      string   `env:"-" placeholder:"OFFER" help:"The price book's offer to relay with."`

	planStats  `embed:""`
	planFormat `embed:""`
}

// Help is what --help says below the flags.
func (planCost) Help() string {
	return `A scenario says what a click (a transfer session) does and which offers serve it; a price book says what they bill. Flags change single assumptions; --stats takes them from what a deployment counted.

  causeway plan cost
  causeway plan cost reconstructed
  causeway plan cost worked-example --relay cloudflare --allocation sender
  causeway plan cost own-nodes --stats sqlite:/var/lib/causeway/stats.db
  causeway plan cost my.yaml --prices my-prices.yaml --format svg > cost.svg`
}

func (c *planCost) Run(ctx context.Context, s streams) error {
	book, err := readPlan(plan.Prices, c.Prices, plan.ReadBook)
	if err != nil {
		return err
	}
	scenario, err := readPlan(plan.Scenarios, c.Scenario, plan.ReadScenario)
	if err != nil {
		return err
	}
	from := map[string]string{}
	if scenario, err = c.measure(ctx, scenario, from); err != nil {
		return err
	}
	c.change(&scenario, from)
	if err := scenario.Validate(); err != nil {
		return usageError{fmt.Errorf("assumptions: %w", err)}
	}
	r, err := plan.Estimate(book, scenario, from)
	if err != nil {
		return hinted{usageError{err}, "see: causeway plan print prices/default"}
	}
	return c.write(s.out, r)
}

// change replaces what flags say, and notes what they did.
func (c *planCost) change(s *plan.Scenario, from map[string]string) {
	for name, flag := range map[string]struct{ from, to *float64 }{
		"clicks": {c.Clicks, &s.Clicks}, "file_mb": {c.FileMB, &s.FileMB}, "overhead": {c.Overhead, &s.Overhead}, "acks": {c.Acks, &s.Acks},
		"relayed": {c.Relayed, &s.Relayed}, "messages": {c.Messages, &s.Work.Messages}, "executions": {c.Executions, &s.Work.Executions}, "rpm": {c.RPM, &s.Ads.RPM},
	} {
		if flag.from != nil {
			*flag.to = *flag.from
			from[name] = plan.FromFlag
		}
	}
	if c.Allocation != "" {
		s.Allocation = plan.Allocation(c.Allocation)
	}
	if c.Relay != "" {
		if s.Use == nil {
			s.Use = map[plan.Service]string{}
		}
		s.Use[plan.Relay] = c.Relay
		delete(s.Count, plan.Relay)
	}
}
