package signaling

import (
	"errors"
	"net/http"

	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/realtime"
)

// Stats counts what happens, without knowing to whom. Its methods never wait.
type Stats interface {
	SessionCreated()
	Joined()
	Negotiated()
	MessagePassed()
	// Refused takes the code that the client gets.
	Refused(code string)
}

type noStats struct{}

func (noStats) SessionCreated() {}
func (noStats) Joined()         {}
func (noStats) Negotiated()     {}
func (noStats) MessagePassed()  {}
func (noStats) Refused(string)  {}

// Counted has f counted: by done if it succeeds, else by the code that the client gets.
func Counted(stats Stats, f httpx.HandlerFunc, done func()) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := f(w, r)
		var refused *httpx.Error
		switch {
		case err == nil:
			done()
		case errors.As(err, &refused) && !errors.As(err, new(*guard.Refusal)): // which the guard has counted
			stats.Refused(refused.Code)
		}
		return err
	}
}

// countMessage counts a message of a peer by how it was answered.
func (s *Signaling) countMessage(err error) {
	var refused *realtime.Error
	switch {
	case err == nil:
		s.cfg.Stats.MessagePassed()
	case errors.As(err, &refused):
		s.cfg.Stats.Refused(refused.Code)
	}
}
