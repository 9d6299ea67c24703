// Package offer is the service's answer to a client's negotiate (§1.3): the ids
// of the connection that is reserved, and the transports that it may use. The
// answer is made of fixed texts and ids that need no escaping, and it is made for
// every connection, so that it is put together by hand.
package offer

import "slices"

// Transports is a set of transports. The bits are those of the claim asrs.s.htt.
type Transports uint8

// The transports, in the order of preference.
const (
	WebSockets Transports = 1 << iota
	ServerSentEvents
	LongPolling

	All = WebSockets | ServerSentEvents | LongPolling
)

// descriptions are how the transports are offered.
var descriptions = []struct {
	bit  Transports
	text string
}{
	{WebSockets, `{"transport":"WebSockets","transferFormats":["Text","Binary"]}`},
	{ServerSentEvents, `{"transport":"ServerSentEvents","transferFormats":["Text"]}`},
	{LongPolling, `{"transport":"LongPolling","transferFormats":["Text","Binary"]}`},
}

// Offer is the answer. Its ids are of letters, digits, '.', '-' and '_'.
type Offer struct {
	Version    int // of negotiation, 0 or 1
	ID         string
	Token      string // with which the client connects; not told in version 0
	Transports Transports
	Resume     bool // stateful reconnect may be used
}

// JSON is the body of the answer.
func (o Offer) JSON() []byte {
	b := slices.Grow([]byte(nil), 384) // all transports, and ids of clustered nodes
	b = append(b, `{"negotiateVersion":`...)
	b = append(b, '0'+byte(o.Version&1))
	b = append(b, `,"connectionId":"`...)
	b = append(b, o.ID...)
	b = append(b, '"')
	if o.Version > 0 {
		b = append(b, `,"connectionToken":"`...)
		b = append(b, o.Token...)
		b = append(b, '"')
	}
	b = append(b, `,"availableTransports":[`...)
	first := true
	for _, d := range descriptions {
		if o.Transports&d.bit == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, d.text...)
	}
	b = append(b, ']')
	if o.Resume {
		b = append(b, `,"useStatefulReconnect":true`...)
	}
	return append(b, '}')
}
