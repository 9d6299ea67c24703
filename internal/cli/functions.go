package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"causeway/deploy/functions"
	"causeway/internal/app"
	"causeway/internal/config"
	"causeway/internal/emulate"
)

// functionsCommand is the custom handler that the Azure Functions host starts.
type functionsCommand struct {
	settings `embed:""`
}

func (c *functionsCommand) Run(ctx context.Context, s streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	log, err := newLogger(s.err, c.LogLevel, c.LogFormat)
	if err != nil {
		return usageError{err}
	}
	f, err := app.NewFunctions(ctx, c.Config, log)
	if err != nil {
		return err
	}
	return f.Run(ctx)
}

// emulateCommand runs the serverless shape on this machine.
type emulateCommand struct {
	App            string   `placeholder:"DIR" type:"existingdir" help:"Folder of the Functions app, as it is deployed. By default what this binary would be packaged with."`
	Listen         string   `default:"localhost:8080" help:"Address of the pages."`
	HostListen     string   `name:"host-listen" default:"127.0.0.1:7071" help:"Address of the function app."`
	RealtimeListen string   `name:"realtime-listen" default:"localhost:8888" help:"Address of the realtime service, in the place of Azure SignalR Service."`
	DataDir        string   `name:"data-dir" placeholder:"DIR" help:"Where keys and state are kept. By default the directory emulate in $$STATE_DIRECTORY, $$XDG_STATE_HOME/causeway or ~/.local/state/causeway."`
	Instances      int      `default:"1" placeholder:"N" help:"How many instances of the function app run, which take requests in turn; they share what is in the database that CAUSEWAY_STATE names."`
	Setting        []string `sep:"none" placeholder:"NAME=VALUE" help:"App settings, such as CAUSEWAY_SEATS=1; can be repeated."`
	LogLevel       string   `name:"log-level" default:"info" enum:"debug,info,warn,error" help:"Least level to log: ${enum}."`
}

func (c *emulateCommand) Run(ctx context.Context, s streams) error {
	if c.Instances < 1 || c.Instances > 64 {
		return usageError{errors.New("--instances: want 1 to 64")}
	}
	log, err := newLogger(s.err, c.LogLevel, "text")
	if err != nil {
		return usageError{err}
	}
	if c.DataDir == "" {
		c.DataDir = filepath.Join(config.DefaultDataDir(), "emulate")
	}
	return runEmulation(ctx, c, s, log, func(shape *emulate.Shape) error {
		_, err := fmt.Fprintf(s.out, "Causeway is listening, in the shape that it has on Azure. Open:\n  %s\nRealtime service:\n  %s\nCtrl-C ends it.\n", shape.Origin, shape.Realtime)
		return err
	})
}

func runEmulation(ctx context.Context, c *emulateCommand, s streams, log *slog.Logger, welcome func(*emulate.Shape) error) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	return emulate.Run(ctx, emulate.Config{
		App: c.App, Files: functions.Files, Executable: self,
		Listen: c.Listen, HostListen: c.HostListen, RealtimeListen: c.RealtimeListen, DataDir: c.DataDir, Instances: c.Instances,
		Settings: append([]string{"CAUSEWAY_LOG_LEVEL=" + c.LogLevel}, c.Setting...),
		Output:   s.err, Logger: log.With("part", "host"), Welcome: welcome,
	})
}

// packageCommand makes what is deployed.
type packageCommand struct {
	Out string `arg:"" help:"The file to write, such as functions.zip."`
}

func (c *packageCommand) Run() (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	binary, err := os.Open(self)
	if err != nil {
		return fmt.Errorf("open this binary: %w", err)
	}
	defer binary.Close()
	to, err := os.Create(c.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return functions.Package(to, io.Reader(binary))
}
