package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// reason says why a call of an upstream failed, or "ok". The set is closed: it is
// a label of metrics and an attribute of log lines.
type reason string

const (
	reasonOK             reason = "ok"
	reasonUnmatched      reason = "unmatched"
	reasonBadEvent       reason = "bad_event"
	reasonBadHeader      reason = "bad_header"
	reasonIdentity       reason = "identity"
	reasonQueueFull      reason = "queue_full"
	reasonQueueTimeout   reason = "queue_timeout"
	reasonBreakerOpen    reason = "breaker_open"
	reasonDNS            reason = "dns"
	reasonConnectTimeout reason = "connect_timeout"
	reasonConnect        reason = "connect"
	reasonTLS            reason = "tls"
	reasonLost           reason = "connection_lost"
	reasonTimeout        reason = "timeout"
	reasonCanceled       reason = "canceled"
	reasonRedirect       reason = "redirect"
	reasonUnauthorized   reason = "unauthorized"
	reasonForbidden      reason = "forbidden"
	reasonNotFound       reason = "not_found"
	reasonMediaType      reason = "media_type"
	reasonThrottled      reason = "throttled"
	reasonStatus4xx      reason = "status_4xx"
	reasonStatus5xx      reason = "status_5xx"
	reasonUnavailable    reason = "unavailable"
	reasonTooLarge       reason = "response_too_large"
	reasonBadResponse    reason = "bad_response"
)

// hint is what an operator may do about a reason. Error texts of the network hold
// addresses and of URLs secrets, so these sentences stand in their place.
func (r reason) hint() string {
	switch r {
	case reasonBadEvent:
		return "the client's target cannot be part of the upstream's URL"
	case reasonBadHeader:
		return "a target, user id, claim or query with control characters cannot be a header"
	case reasonIdentity:
		return "no token of the managed identity could be had"
	case reasonQueueFull, reasonQueueTimeout:
		return "the upstream is slower than the events come: make it faster, or raise its concurrency"
	case reasonBreakerOpen:
		return "the upstream failed too often in a row and is given a rest; see the failures before"
	case reasonDNS:
		return "the name of the upstream's host does not resolve"
	case reasonConnectTimeout, reasonConnect:
		return "nothing answers at the upstream's address: is it running, is the port right, is there a firewall?"
	case reasonTLS:
		return "the upstream's certificate or TLS version is not accepted; http and https may be mixed up"
	case reasonLost:
		return "the upstream closed the connection before it answered"
	case reasonTimeout:
		return "the upstream did not answer in time"
	case reasonRedirect:
		return "the upstream redirects to another host or method; configure the final URL"
	case reasonUnauthorized:
		return "the upstream refused the signature or code: do both sides have the same access key?"
	case reasonForbidden:
		return "the upstream refused this client or caller"
	case reasonNotFound:
		return "no function for this hub, category and event, or a wrong path in the URL template"
	case reasonMediaType:
		return "the upstream does not take this encoding; does it know MessagePack?"
	case reasonThrottled, reasonUnavailable:
		return "the upstream is overloaded or restarting"
	case reasonStatus5xx:
		return "the upstream failed; its own log says why"
	case reasonTooLarge:
		return "the response exceeds the limit"
	case reasonBadResponse:
		return "the response is not a completion of the invocation that was sent"
	}
	return ""
}

// failure is a call of an upstream that did not succeed.
type failure struct {
	reason reason
	status int // of HTTP, as clients are told
}

// ofStatus classifies an HTTP status; nil is success.
func ofStatus(status int) *failure {
	f := &failure{status: status}
	switch {
	case status == http.StatusOK || status == http.StatusNoContent:
		return nil
	case status == http.StatusUnauthorized:
		f.reason = reasonUnauthorized
	case status == http.StatusForbidden:
		f.reason = reasonForbidden
	case status == http.StatusNotFound:
		f.reason = reasonNotFound
	case status == http.StatusUnsupportedMediaType:
		f.reason = reasonMediaType
	case status == http.StatusTooManyRequests:
		f.reason = reasonThrottled
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		f.reason = reasonUnavailable
	case status >= 500:
		f.reason = reasonStatus5xx
	case status >= 300 && status < 400:
		f.reason = reasonRedirect
	case status >= 400:
		f.reason = reasonStatus4xx
	default:
		f.reason = reasonBadResponse // 2xx other than 200 and 204
	}
	return f
}

// ofError classifies an error of the HTTP client. Clients are told 500, as by the
// emulator (spec §5.3).
func ofError(ctx context.Context, err error) *failure {
	f := &failure{status: http.StatusInternalServerError, reason: reasonLost}
	var dns *net.DNSError
	var op *net.OpError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		f.reason = reasonCanceled
	case errors.As(err, &dns):
		f.reason = reasonDNS
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		f.reason = reasonTLS
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		f.reason = reasonConnectTimeout
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		f.reason = reasonConnect
	case isTimeout(err):
		f.reason = reasonTimeout
	}
	return f
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// broken says whether the failure is the upstream's as a whole, and counts for
// its breaker. What a single client can provoke (4xx, 500) must not: it could
// shut the upstream off for everybody.
func (f *failure) broken() bool {
	switch f.reason {
	case reasonDNS, reasonConnectTimeout, reasonConnect, reasonTLS, reasonLost, reasonTimeout, reasonUnavailable:
		return true
	}
	return false
}

// retryable says whether a retry makes sense. A connection's event may come
// twice without harm, an invocation may not, so that is only repeated if it
// cannot have arrived.
func (f *failure) retryable(category string) bool {
	switch f.reason {
	case reasonDNS, reasonConnectTimeout, reasonConnect:
		return true
	case reasonLost, reasonTimeout, reasonUnavailable, reasonThrottled:
		return category == categoryConnections
	}
	return false
}
