package cli

import (
	"fmt"

	"causeway/internal/config"
)

// configCommand groups what can be asked about the configuration.
type configCommand struct {
	Check     configCheck     `cmd:"" help:"Check the configuration that serve would run with."`
	Print     configPrint     `cmd:"" help:"Print the configuration that serve would run with, as YAML."`
	Reference configReference `cmd:"" help:"Print a commented file with every setting at its default."`
}

type configCheck struct {
	settings `embed:""`
}

func (c *configCheck) Run(s streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, "ok")
	return err
}

type configPrint struct {
	settings `embed:""`
}

func (c *configPrint) Run(s streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	return c.Write(s.out)
}

type configReference struct{}

func (configReference) Run(s streams) error { return config.WriteReference(s.out) }
