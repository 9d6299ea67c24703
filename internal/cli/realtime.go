package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"causeway/internal/app"
	"causeway/internal/config"
)

// realtimeCommand runs the realtime service alone, for other people's applications.
type realtimeCommand struct {
	ConfigFile     string `name:"config" placeholder:"FILE" type:"existingfile" help:"YAML file with settings; see: causeway config reference."`
	config.HTTP    `embed:""`
	config.TLS     `embed:""`
	config.Service `embed:""`
	config.Process `embed:""`
	Echo           bool `help:"Add a hub \"echo\", in which every client reaches every other, for demonstrations and benchmarks."`
}

// BeforeResolve adds what the file sets below flags and environment variables.
func (c *realtimeCommand) BeforeResolve(k *kong.Context) error { return resolveFile(k) }

func (c *realtimeCommand) Run(ctx context.Context, s streams, again reparse) error {
	cfg, err := c.whole()
	if err != nil {
		return err
	}
	return serve(ctx, cfg, app.Options{RealtimeOnly: true, Echo: c.Echo, Reload: again.config}, s, printConnection)
}

// whole completes the command's settings to a configuration, and checks it.
func (c *realtimeCommand) whole() (config.Config, error) {
	d, err := config.Default()
	if err != nil {
		return config.Config{}, err
	}
	all := settings{ConfigFile: c.ConfigFile, Config: d}
	all.HTTP, all.TLS, all.Service, all.Process = c.HTTP, c.TLS, c.Service, c.Process
	err = all.validate()
	return all.Config, err
}

// printConnection prints what applications need, in one line, for scripts to read;
// a configured key is never printed.
func printConnection(w io.Writer, a *app.App) error {
	line := a.ConnectionString()
	if line == "" {
		line = "Endpoint=" + a.URLs()[0] + ";Version=1.0; (the access key is the configured one)"
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
