package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// messageData is the API's item for a line of the log.
type messageData struct {
	Version    int               `json:"ver"`
	Message    string            `json:"message"`
	Severity   int               `json:"severityLevel"`
	Properties map[string]string `json:"properties,omitempty"`
}

// Log returns next with what is logged from Warn on sent as well. What a log may hold is the
// loggers' rule: attributes of a fixed list, nothing personal.
func (c *Client) Log(next slog.Handler) slog.Handler { return logHandler{client: c, next: next} }

type logHandler struct {
	client *Client
	next   slog.Handler
	prefix string
	attrs  []slog.Attr
}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || h.next.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.next = h.next.WithAttrs(attrs)
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], prefixed(h.prefix, attrs)...)
	return h
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	h.next = h.next.WithGroup(name)
	h.prefix += name + "."
	return h
}

func prefixed(prefix string, attrs []slog.Attr) []slog.Attr {
	list := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		list[i] = slog.Attr{Key: prefix + a.Key, Value: a.Value}
	}
	return list
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	s := spanOf(ctx)
	if r.Level >= slog.LevelError || r.Level >= slog.LevelWarn && (s.trace == "" || s.sent) {
		properties := map[string]string{}
		add := func(a slog.Attr) bool {
			properties[a.Key] = cut(a.Value.Resolve().String())
			return true
		}
		for _, a := range h.attrs {
			add(a)
		}
		r.Attrs(func(a slog.Attr) bool { return add(slog.Attr{Key: h.prefix + a.Key, Value: a.Value}) })
		severity := 2 // warning
		if r.Level >= slog.LevelError {
			severity, s.rate = 3, 0
		}
		at := r.Time
		if at.IsZero() {
			at = time.Now()
		}
		h.client.put("Message", at, s, s.id, messageData{2, cut(r.Message), severity, properties})
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// cut bounds a text.
func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
