package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"causeway/internal/app"
	"causeway/internal/config"
)

// serveCommand runs the whole of Causeway in one process.
type serveCommand struct {
	settings `embed:""`
}

func (c *serveCommand) Run(ctx context.Context, s streams, again reparse) error {
	if err := c.validate(); err != nil {
		return err
	}
	return serve(ctx, c.Config, app.Options{Reload: again.config}, s, printWelcome)
}

// serve runs an app; welcome is called when its sockets are open.
func serve(ctx context.Context, cfg config.Config, o app.Options, s streams, welcome func(io.Writer, *app.App) error) error {
	log, err := newLogger(s.err, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return usageError{err}
	}
	a, err := app.New(ctx, cfg, o, log)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "another program has this port; choose others with --listen and --turn-listen (port 0 picks a free one)"}
	}
	if err != nil {
		return err
	}
	if err := welcome(s.out, a); err != nil {
		return errors.Join(err, a.Close())
	}
	return a.Run(ctx)
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// printWelcome says where to go: for people, and for scripts that wait for it.
func printWelcome(w io.Writer, a *app.App) error {
	text := "Causeway is listening. Open:\n"
	for _, u := range a.URLs() {
		text += "  " + u + "\n"
	}
	if t := a.RelayURLs(); len(t) > 0 {
		text += "Relay (STUN and TURN):\n"
		for _, u := range t {
			text += "  " + u + "\n"
		}
		text += "  at most " + a.Caps() + "\n"
	} else {
		text += "Relay: off; peers connect directly or not at all.\n"
	}
	if c := a.ConnectionString(); c != "" {
		text += "Realtime service for other applications:\n  " + c + "\n"
	}
	_, err := fmt.Fprint(w, text, "Ctrl-C ends it.\n")
	return err
}
