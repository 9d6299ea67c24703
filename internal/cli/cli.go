// Package cli is the command line: one file a command, each a struct that kong
// fills and whose Run does the work.
//
// Standard output has what was asked for, standard error everything else. An error
// is printed as "causeway: error: …", a hint on what to do as "causeway: hint: …".
// The exit code is 0, 2 for wrong usage, and 1 for any other failure.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"causeway/internal/config"
	"causeway/internal/ops"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// commands is the whole command line.
type commands struct {
	Serve     serveCommand
	Realtime  realtimeCommand
	Functions functionsCommand
	Emulate   emulateCommand
	Package   packageCommand
	Relay     relayCommand
	Node      nodeCommand
	Config    configCommand
	Plan      planCommand
	Smoke     smokeCommand
	Bench     benchCommand
}

// command is one of them.
type command struct {
	name, help string
	to         any // what kong fills, and runs
}

func (c *commands) list() []command {
	return []command{
		{"serve", "Run everything: pages, signaling, realtime service, relay.", &c.Serve},
		{"realtime", "Run the realtime service alone, in the place of Azure SignalR Service.", &c.Realtime},
		{"functions", "Run as a custom handler of Azure Functions, with Azure SignalR Service. The Functions host starts it.", &c.Functions},
		{"emulate", "Run the shape that Causeway has on Azure on this machine, with doubles of Azure's parts.", &c.Emulate},
		{"package", "Make the zip file to deploy as a function app, of this binary (Linux).", &c.Package},
		{"relay", "Run a STUN and TURN server alone: as a node of a Causeway elsewhere, or in the place of coturn.", &c.Relay},
		{"node", "Keys for relay nodes elsewhere.", &c.Node},
		{"config", "Check, print and explain the configuration.", &c.Config},
		{"plan", "Calculate what running it costs, and how often it works.", &c.Plan},
		{"smoke", "Ask a deployment from outside whether it works.", &c.Smoke},
		{"bench", "Measure this binary on this machine.", &c.Bench},
	}
}

// of returns the command that args name; all if they name none.
func (c *commands) of(args []string) []command {
	list := c.list()
	if i := slices.IndexFunc(list, func(one command) bool { return len(args) > 0 && one.name == args[0] }); i >= 0 {
		return list[i : i+1]
	}
	return list
}

// general is what goes without a command.
type general struct {
	Version kong.VersionFlag `env:"-" help:"Print the version."`
}

// streams is where a command writes.
type streams struct{ out, err io.Writer }

// hinted is an error with a hint on what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// usageError is an error in what the user typed or configured.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// Main runs the command line args and returns the exit code. When ctx ends, the
// command drains and returns.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exit := -1
	all := &commands{}
	parser, err := newParser(ctx, all.of(args), streams{stdout, stderr}, func(code int) { exit = code }, kong.Bind(reparse{ctx, args}))
	if err != nil {
		return fail(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exit >= 0 { // --help or --version
		return exit
	}
	if err != nil {
		return fail(stderr, hinted{usageError{err}, "run: causeway " + commandOf(args) + "--help"})
	}
	if err := k.Run(); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// newParser makes a parser of some commands. To learn the settings of all takes kong 30 ms of CPU, in half of
// which a function app has started with those of its own.
func newParser(ctx context.Context, of []command, s streams, exit func(int), more ...kong.Option) (*kong.Kong, error) {
	for _, c := range of {
		more = append(more, kong.DynamicCommand(c.name, c.help, "", c.to))
	}
	return kong.New(&general{}, append(more,
		kong.Name("causeway"),
		kong.Description("The WebRTC backend that anyone can run: signaling, STUN and TURN, and a peer-to-peer file sender, in one binary."),
		kong.Writers(s.out, s.err),
		kong.Exit(exit),
		kong.Vars{"version": ops.Version()},
		kong.DefaultEnvars("CAUSEWAY"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)...)
}

// reparse reads a command's settings anew: the same arguments and environment, the
// file as it is now.
type reparse struct {
	ctx  context.Context
	args []string
}

func (r reparse) config() (config.Config, error) {
	all := &commands{}
	parser, err := newParser(r.ctx, all.of(r.args), streams{io.Discard, io.Discard}, func(int) {})
	if err != nil {
		return config.Config{}, err
	}
	k, err := parser.Parse(r.args)
	if err != nil {
		return config.Config{}, err
	}
	if strings.HasPrefix(k.Command(), "realtime") {
		return all.Realtime.whole()
	}
	err = all.Serve.validate()
	return all.Serve.Config, err
}

// commandOf returns the command in args, with a space after it, to complete a hint.
func commandOf(args []string) string {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return args[0] + " "
	}
	return ""
}

func fail(w io.Writer, err error) int {
	fmt.Fprintf(w, "causeway: error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "causeway: hint: %s\n", h.hint)
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitError
}

// settings are the flags of config.Config, and the file that they may come from.
type settings struct {
	ConfigFile string `name:"config" placeholder:"FILE" type:"existingfile" help:"YAML file with settings; see: causeway config reference."`
	config.Config
}

// BeforeResolve adds what the file sets below flags and environment variables.
func (s *settings) BeforeResolve(k *kong.Context) error { return resolveFile(k) }

// validate completes the configuration with what only the file can set, and checks it.
func (s *settings) validate() error {
	if s.ConfigFile != "" {
		f, err := os.Open(s.ConfigFile)
		if err != nil {
			return fmt.Errorf("open configuration: %w", err)
		}
		defer f.Close()
		file, err := config.Load(f)
		if err != nil {
			return usageError{err}
		}
		s.Upstream, s.Provider, s.RelayNode = file.Upstream, file.Provider, file.RelayNode
	}
	if err := config.ProvidersFromEnv(&s.Config); err != nil {
		return usageError{err}
	}
	if s.DataDir == "" {
		s.DataDir = config.DefaultDataDir()
	}
	if err := s.Validate(); err != nil {
		return hinted{usageError{fmt.Errorf("configuration: %w", err)}, "see: causeway config reference"}
	}
	return nil
}
