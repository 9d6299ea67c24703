package cli

import "time"

// benchGuard floods a server of its own, see package flood.
type benchGuard struct {
	Duration time.Duration `default:"20s" env:"-" help:"Of each phase."`
	Honest   float64       `default:"10" env:"-" help:"Connects a second of honest users, from ten networks."`
	Attack   float64       `default:"1000" env:"-" help:"Requests a second of the attack."`
	Networks int           `default:"1000" env:"-" help:"Networks of the attack, where there are many."`
	Solvers  int           `default:"1" env:"-" help:"Processors that the attack does its work on, where it does work."`
}
