package cli

import (
	"errors"

	"causeway/internal/plan"
)

// planAvailability says how often a topology works.
type planAvailability struct {
	Topology planFile  `arg:"" optional:"" default:"two-regions-client-list" help:"A shipped topology by name, or a YAML file. Default: ${default}."`
	Beta     []float64 `env:"-" placeholder:"SHARE" help:"Common-cause factors to calculate with, 0 to 1, in place of the topology's."`
	Samples  int       `env:"-" default:"200000" help:"Sessions that the Monte-Carlo check draws for each of them."`
	Seed     uint64    `env:"-" default:"1" help:"Seed of its draws: the same seed gives the same figures."`
	Prices   planFile  `env:"-" default:"default" placeholder:"FILE" help:"Price book: a YAML file in the place of the shipped one."`
	Scenario planFile  `env:"-" default:"usage" placeholder:"FILE" help:"Scenario with the usage that is billed; its own offers don't count."`
	Clicks   *float64  `env:"-" placeholder:"N" help:"Transfer sessions a month."`

	planFormat `embed:""`
}

// Help is what --help says below the flags.
func (planAvailability) Help() string {
	return `A topology says what must all work, what is redundant, and which figure each part has. What comes out is a planning figure, never a promise.

  causeway plan availability published
  causeway plan availability two-regions-front-door --beta 0.05,0.2
  causeway plan availability my.yaml --json`
}

// maxSamples keeps a mistyped number from taking hours.
const maxSamples = 100_000_000

func (a *planAvailability) Run(s streams) error {
	if a.Samples < 1000 || a.Samples > maxSamples {
		return usageError{errors.New("--samples: from 1000 to 100000000")}
	}
	topology, err := readPlan(plan.Topologies, a.Topology, plan.ReadTopology)
	if err != nil {
		return err
	}
	if len(a.Beta) > 0 {
		topology.Betas = a.Beta
		if err := topology.Validate(); err != nil {
			return usageError{err}
		}
	}
	book, err := readPlan(plan.Prices, a.Prices, plan.ReadBook)
	if err != nil {
		return err
	}
	scenario, err := readPlan(plan.Scenarios, a.Scenario, plan.ReadScenario)
	if err != nil {
		return err
	}
	if a.Clicks != nil {
		scenario.Clicks = *a.Clicks
		if err := scenario.Validate(); err != nil {
			return usageError{err}
		}
	}
	r, err := plan.Assess(topology, book, scenario, plan.Drawing{Samples: a.Samples, Seed: a.Seed})
	if err != nil {
		return hinted{usageError{err}, "see: causeway plan print prices/default"}
	}
	return a.write(s.out, r)
}
