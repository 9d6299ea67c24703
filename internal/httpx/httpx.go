// Package httpx holds what every HTTP handler of Causeway shares: handlers that
// return errors, errors that separate what a client may read from what the log
// gets, JSON bodies with a limit, and who is asking (address and origin) behind
// reverse proxies that the operator trusts.
package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Error is the only error whose text reaches an HTTP client.
type Error struct {
	Status     int           // HTTP status
	Code       string        // short, stable, lower_case
	Message    string        // a sentence for people
	RetryAfter time.Duration // sent as Retry-After, in whole seconds, if positive
	Work       string        // a challenge to solve first (package guard), if not empty
	Err        error         // for the log; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Err.Error()
	}
	return e.Code
}

func (e *Error) Unwrap() error { return e.Err }

// HandlerFunc is a handler that returns its error instead of writing it.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// Handler returns f as an http.Handler. An error that is no *Error is answered
// with 500 and a sentence that says nothing, and is logged.
func Handler(log *slog.Logger, f HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		if err == nil {
			return
		}
		var e *Error
		if !errors.As(err, &e) {
			log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
			e = &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "Something went wrong on the server. Try again in a moment."}
		}
		WriteError(w, e)
	})
}

// WriteError answers with e as JSON: {"code","message"}, and "work" if there is a challenge.
func WriteError(w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	_ = WriteJSON(w, e.Status, struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Work    string `json:"work,omitempty"`
	}{e.Code, e.Message, e.Work})
}

// WriteJSON answers with v, uncached.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode response: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away is nobody to tell
	return nil
}

// ReadJSON decodes a JSON body of at most limit bytes into v. A body of another
// type, with trailing data, or over the limit is an *Error.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return &Error{Status: http.StatusUnsupportedMediaType, Code: "bad_request", Message: "The body must be application/json."}
		}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("data after the JSON value")
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("The body is larger than %d bytes.", limit), Err: err}
	}
	return &Error{Status: http.StatusBadRequest, Code: "bad_request", Message: "The body is not the JSON that this request takes.", Err: err}
}
