package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"causeway/internal/realtime"
)

// Values of the header x-ms-error-code, by which SDKs tell "it does not exist"
// from "there is no such endpoint" (spec §4.4).
const (
	noSuchConnection   = "Warning.Connection.NotExisted"
	noSuchUser         = "Warning.User.NotExisted"
	noSuchGroup        = "Warning.Group.NotExisted"
	userNotInGroup     = "Info.User.NotInGroup"
	connectionRequired = "Error.Connection.NotExisted"
)

// problem is a refusal: the status and the ErrorDetail that a caller reads.
type problem struct {
	status  int
	code    string // of ErrorDetail; stable
	message string // a sentence for people, without anything secret
	target  string // the parameter at fault
	msCode  string // for x-ms-error-code; empty means none
	allow   string // for Allow
	err     error  // for the log only
}

func (p *problem) Error() string {
	if p.err != nil {
		return p.message + ": " + p.err.Error()
	}
	return p.message
}

func (p *problem) Unwrap() error { return p.err }

func badRequest(target, message string) error {
	return &problem{status: http.StatusBadRequest, code: "BadRequest", message: message, target: target}
}

func notFound(message string) error {
	return &problem{status: http.StatusNotFound, code: "NotFound", message: message}
}

func methodNotAllowed(allow string) error {
	return &problem{status: http.StatusMethodNotAllowed, code: "MethodNotAllowed", message: "this path does not have that method", allow: allow}
}

func unauthorized(message string) error {
	return &problem{status: http.StatusUnauthorized, code: "Unauthorized", message: message}
}

func notImplemented(message string) error {
	return &problem{status: http.StatusNotImplemented, code: "NotImplemented", message: message}
}

// missing is a 404 that SDKs understand as an answer.
func missing(msCode, message string) error {
	return &problem{status: http.StatusNotFound, code: msCode, msCode: msCode, message: message}
}

// serviceError is what a caller is told about an error of the service. SDKs
// repeat requests after 502 and 503, which may have been delivered in part, so
// these are never used.
func serviceError(err error) error {
	var told *problem
	var forCaller *realtime.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, realtime.ErrNoConnection):
		return missing(connectionRequired, "no such connection")
	case errors.As(err, &forCaller):
		return &problem{status: http.StatusBadRequest, code: forCaller.Code, message: forCaller.Message}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusGatewayTimeout, code: "Timeout", message: "it took too long", err: err}
	}
	return &problem{status: http.StatusInternalServerError, code: "InternalError", message: "the service failed", err: err}
}

// errorDetail is the body of a refusal (spec §4.4).
type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
}

// fail answers a request with err, and logs what is our own fault.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, operation string, err error) {
	var p *problem
	if !errors.As(serviceError(err), &p) {
		return // serviceError always gives a problem
	}
	h.metrics.refuse(p.status)
	if p.status >= http.StatusInternalServerError && p.err != nil && r.Context().Err() == nil {
		h.cfg.Logger.Error("data plane request failed", slog.String("operation", operation), slog.Int("status", p.status), slog.Any("error", p.err))
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	if p.msCode != "" {
		header.Set("x-ms-error-code", p.msCode)
	}
	if p.allow != "" {
		header.Set("Allow", p.allow)
	}
	if p.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.status)
	if r.Method == http.MethodHead {
		return
	}
	body, err := json.Marshal(errorDetail{p.code, p.message, p.target})
	if err == nil {
		_, _ = w.Write(body) // the caller may be gone; nobody is left to tell
	}
}

// writeJSON answers with 200 and a body.
func writeJSON(w http.ResponseWriter, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return serviceError(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b)
	return nil
}

// statusRecorder remembers the status for metrics.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
