package app

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
)

// clientAddress is where net/http's error log names a client.
var clientAddress = regexp.MustCompile(`(from|serving) \S+: `)

// errorLog takes net/http's error log. It names clients by address, which no log of
// ours may hold; and all but panics are mistakes of clients.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Write(b []byte) (int, error) {
	line := clientAddress.ReplaceAllString(strings.TrimSpace(string(b)), "$1 a client: ")
	level := slog.LevelDebug
	if strings.Contains(line, "panic") {
		level = slog.LevelError
	}
	e.log.Log(context.Background(), level, line)
	return len(b), nil
}
