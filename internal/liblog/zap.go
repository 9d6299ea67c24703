package liblog

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// Zap lets a library that logs to zap (certmagic) log to slog.
type Zap struct {
	Log *slog.Logger
}

// Enabled implements zapcore.Core.
func (c Zap) Enabled(l zapcore.Level) bool {
	return c.Log.Enabled(context.Background(), slogLevel(l))
}

// With implements zapcore.Core.
func (c Zap) With(fields []zapcore.Field) zapcore.Core {
	return Zap{c.Log.With(slogArgs(fields)...)}
}

// Check implements zapcore.Core.
func (c Zap) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c Zap) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.Log.Log(context.Background(), slogLevel(e.Level), e.Message, slogArgs(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (Zap) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func slogArgs(fields []zapcore.Field) []any {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	args := make([]any, 0, 2*len(m.Fields))
	for k, v := range m.Fields {
		args = append(args, k, v)
	}
	return args
}
