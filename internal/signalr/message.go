// Package signalr is the SignalR hub protocol on the wire: the handshake, the
// nine message types, and their two encodings, JSON and MessagePack.
//
// The package is pure: it turns bytes into messages and messages into bytes, and
// knows neither connections nor time. A connection is a byte stream; a Splitter
// cuts it into the bodies of messages, and bounds them; Protocol.Decode reads a
// body, and Protocol.Append writes a framed one.
//
//	stream ─▶ Splitter ─▶ body ─▶ Protocol.Decode ─▶ Message ─▶ Protocol.Append ─▶ frame
//
// A frame is what goes on the wire (JSON: text and the record separator 0x1E;
// MessagePack: length prefix and array); a body is a frame without these.
//
// Values (arguments, items, results) are JSON in a Message, whatever the
// protocol, so that one message can be encoded for all clients. MessagePack
// values are converted on the way (see FromJSON and ToJSON); integers keep all
// their 64 bits. In JSON nothing is converted: values are slices of the body,
// checked to be valid JSON and UTF-8, since whoever relays them would otherwise
// break the receiver's connection.
//
// The source of every rule is the SignalR HubProtocol specification, and where it
// differs from what the official clients do, the clients.
package signalr

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Type is the type of a message, by its number on the wire.
type Type uint8

// The message types of the hub protocol.
const (
	Invocation       Type = 1 // asks the peer to run a method
	StreamItem       Type = 2 // one item of a stream
	Completion       Type = 3 // the end of an invocation or stream: result, error or nothing
	StreamInvocation Type = 4 // asks the peer to run a method that answers with a stream
	CancelInvocation Type = 5 // ends a StreamInvocation early
	Ping             Type = 6 // shows that the sender lives
	Close            Type = 7 // the sender will close the connection
	Ack              Type = 8 // stateful reconnect: all messages up to SequenceID were processed
	Sequence         Type = 9 // stateful reconnect: SequenceID is the id of the next message
)

// Counted says whether messages of this type have an id in stateful reconnect.
func (t Type) Counted() bool { return t >= Invocation && t <= CancelInvocation }

// Known says whether t is one of the nine types. Peers ignore the others.
func (t Type) Known() bool { return t >= Invocation && t <= Sequence }

// Message is a message of any type; each type uses some of the fields.
type Message struct {
	Type Type
	// InvocationID of types 1 to 5. An Invocation without one wants no Completion.
	InvocationID string
	// Target and Arguments of Invocation and StreamInvocation.
	Target    string
	Arguments []json.RawMessage
	// StreamIDs of Invocation and StreamInvocation: streams that the caller uploads.
	StreamIDs []string
	// Headers of types 1 to 5; never interpreted.
	Headers map[string]string
	// Value is the item of a StreamItem, or the result of a Completion; nil is no
	// result, which is not the same as the JSON value null.
	Value json.RawMessage
	// Error of Completion and Close; empty if there is none.
	Error string
	// AllowReconnect of Close.
	AllowReconnect bool
	// SequenceID of Ack and Sequence.
	SequenceID uint64
}

// Head is what a relay must know of an Invocation to pass it on as it is.
type Head struct {
	Type         Type
	InvocationID string
	Target       string
}

// Errors of Splitter and Decode. All of them mean that the peer does not speak
// the protocol and the connection can't go on.
var (
	ErrTooLarge  = errors.New("signalr: message too large")
	ErrMalformed = errors.New("signalr: malformed message")
)

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// Protocol is a hub protocol.
type Protocol uint8

// The hub protocols.
const (
	JSON Protocol = iota
	MessagePack
)

// Protocols lists all hub protocols.
func Protocols() []Protocol { return []Protocol{JSON, MessagePack} }

// ProtocolByName finds the protocol that a handshake names.
func ProtocolByName(name string) (p Protocol, ok bool) {
	switch name {
	case "json":
		return JSON, true
	case "messagepack":
		return MessagePack, true
	}
	return 0, false
}

// String is the name of the protocol in handshakes.
func (p Protocol) String() string {
	if p == MessagePack {
		return "messagepack"
	}
	return "json"
}

// Binary says whether frames are binary rather than text.
func (p Protocol) Binary() bool { return p == MessagePack }

// Append appends the frame of m to dst. It fails if m lacks what its type needs,
// or if a value is not valid JSON; dst is then returned as it came.
func (p Protocol) Append(dst []byte, m *Message) ([]byte, error) {
	if p == MessagePack {
		return appendMsgpackFrame(dst, m)
	}
	return appendJSONFrame(dst, m)
}

// Decode reads the body of a message. Of a type it does not know it reads the
// type only. Values of JSON messages are slices of body.
func (p Protocol) Decode(body []byte) (Message, error) {
	if p == MessagePack {
		return decodeMsgpack(body)
	}
	return decodeJSON(body)
}

// Head reads type, invocation id and target of the body of a message, and
// leaves its values alone.
func (p Protocol) Head(body []byte) (Head, error) {
	if p == MessagePack {
		m, _, err := msgpackHead(body)
		return Head{m.Type, m.InvocationID, m.Target}, err
	}
	m, err := decodeJSON(body)
	return Head{m.Type, m.InvocationID, m.Target}, err
}

// AppendFrame appends the frame of a body to dst.
func (p Protocol) AppendFrame(dst, body []byte) []byte {
	if p == MessagePack {
		return append(appendLength(dst, len(body)), body...)
	}
	return append(append(dst, body...), recordSeparator)
}

// check says what m lacks to be sent.
func (m *Message) check() error {
	switch m.Type {
	case Invocation, StreamInvocation:
		if m.Target == "" {
			return malformed("no target")
		}
		if m.Type == StreamInvocation && m.InvocationID == "" {
			return malformed("no invocation id")
		}
	case StreamItem, Completion, CancelInvocation:
		if m.InvocationID == "" {
			return malformed("no invocation id")
		}
		if m.Error != "" && m.Value != nil {
			return malformed("both result and error")
		}
		if m.Type == StreamItem && m.Value == nil {
			return malformed("no item")
		}
	case Ping, Close, Ack, Sequence:
	default:
		return malformed("type %d", m.Type)
	}
	return nil
}
