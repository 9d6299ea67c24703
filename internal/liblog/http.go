// Package liblog has what libraries log reach ours.
package liblog

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
)

// clientAddress is where net/http's error log names a client.
var clientAddress = regexp.MustCompile(`(from|serving) \S+: `)

// HTTP takes net/http's error log. It names clients by address, which no log of
// ours may hold; and all but panics are mistakes of clients.
type HTTP struct{ Log *slog.Logger }

// Write implements io.Writer.
func (e HTTP) Write(b []byte) (int, error) {
	line := clientAddress.ReplaceAllString(strings.TrimSpace(string(b)), "$1 a client: ")
	level := slog.LevelDebug
	if strings.Contains(line, "panic") {
		level = slog.LevelError
	}
	e.Log.Log(context.Background(), level, line)
	return len(b), nil
}
