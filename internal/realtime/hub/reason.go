package hub

// Reason says why a connection ended. The numbers are stable.
type Reason uint16

// The reasons. Those below 100 are the client's or the network's doing, those
// from 100 on are the hub's, and those from 200 on are limits.
const (
	ReasonClient     Reason = 1 // the client said goodbye
	ReasonDropped    Reason = 2 // the transport broke off
	ReasonNeverCame  Reason = 3 // negotiated, and never connected
	ReasonSuperseded Reason = 4 // a new transport took over

	ReasonApplication Reason = 100 // the application closed it
	ReasonDraining    Reason = 101 // this hub is stopping
	ReasonExpired     Reason = 102 // the token said when to close
	ReasonRefused     Reason = 103 // the application closed it for good

	ReasonHandshakeTimeout Reason = 110 // no handshake in time
	ReasonHandshake        Reason = 111 // a handshake that was refused
	ReasonProtocol         Reason = 112 // a message or frame that is malformed
	ReasonTimeout          Reason = 113 // no ping, message or poll in time
	ReasonSequence         Reason = 114 // stateful reconnect lost count

	ReasonTooLarge   Reason = 200 // a message over the limit
	ReasonSlowClient Reason = 201 // too much waits to be taken, or for too long
	ReasonRate       Reason = 202 // too many invocations
	ReasonResume     Reason = 203 // not enough acknowledged to stay resumable
)

// reasonText holds for each reason its label in metrics and its text for clients
// and handlers; an empty text is a clean end.
var reasonText = map[Reason]struct{ label, text string }{
	ReasonClient:           {"client", ""},
	ReasonDropped:          {"dropped", "The connection was lost."},
	ReasonNeverCame:        {"never_came", ""},
	ReasonSuperseded:       {"superseded", ""},
	ReasonApplication:      {"application", ""},
	ReasonDraining:         {"draining", "The server is shutting down."},
	ReasonRefused:          {"refused", "The connection was refused."},
	ReasonExpired:          {"expired", "The authentication has expired."},
	ReasonHandshakeTimeout: {"handshake_timeout", "Handshake was canceled."},
	ReasonHandshake:        {"handshake", "The handshake was refused."},
	ReasonProtocol:         {"protocol", "The message was malformed."},
	ReasonTimeout:          {"timeout", "Client hasn't sent a message/ping within the configured timeout."},
	ReasonSequence:         {"sequence", "The sequence of messages was broken."},
	ReasonTooLarge:         {"too_large", "The message was too large."},
	ReasonSlowClient:       {"slow_client", "The client is too slow."},
	ReasonRate:             {"rate", "The client sends too fast."},
	ReasonResume:           {"resume", "Too many messages were not acknowledged."},
}

// String is the reason's label in metrics.
func (r Reason) String() string { return reasonText[r].label }

// Text is a sentence for people; empty for a clean end.
func (r Reason) Text() string { return reasonText[r].text }

// Reconnect says whether a client that was closed for this reason may come back
// by itself. One that breaks the protocol would only do so again.
func (r Reason) Reconnect() bool {
	switch r {
	case ReasonRefused, ReasonHandshake, ReasonProtocol, ReasonTooLarge, ReasonSequence:
		return false
	}
	return true
}

// gone says that there is nobody to send a Close message to.
func (r Reason) gone() bool { return r < 100 }

// closeError is an error that ends its connection.
type closeError struct{ reason Reason }

func (e closeError) Error() string { return e.reason.Text() }
