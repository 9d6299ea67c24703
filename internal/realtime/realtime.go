// Package realtime is the boundary between an application and the service that
// holds its clients' connections. It has the shape of Azure SignalR Service in
// Serverless mode, so that the same application runs over the in-process hub
// (package hub), over a cluster of hubs, and over Azure (package azure).
//
// The contract is that of the weakest implementation:
//
//   - a message is delivered at most once, and may be lost;
//   - two messages may arrive in another order than they were sent;
//   - nobody can veto a connection: Connected is told, not asked;
//   - Disconnected may never be called for a connection that has ended.
//
// Applications therefore number what they send, and let peers expire each other.
//
// Every method takes a context and returns once the service has accepted the
// request; acceptance is not delivery. Sending to nobody is not an error.
// Implementations are safe for concurrent use. Package realtimetest holds these
// promises as a test suite, which runs over each implementation.
package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Service is the data plane: from the application to the clients of one hub.
type Service interface {
	// Negotiate answers where a client that has shown the application who it is
	// connects, and with which token.
	Negotiate(ctx context.Context, c Claims) (Endpoint, error)
	// Send delivers m to every connection that to names.
	Send(ctx context.Context, to Recipient, m Message) error
	// JoinGroup adds a connection to a group; the membership ends with the
	// connection. ErrNoConnection if the connection is known to be gone.
	JoinGroup(ctx context.Context, group, connectionID string) error
	// LeaveGroup removes a connection from a group. That either is unknown is no error.
	LeaveGroup(ctx context.Context, group, connectionID string) error
	// CloseConnection ends a connection. ErrNoConnection if it is known to be gone.
	CloseConnection(ctx context.Context, connectionID, reason string) error
}

// Handler is the upstream: from the clients of a hub to the application.
// Calls for one connection come one at a time, in order: Connected first, then
// Invoked in the order in which the client sent, then Disconnected. Calls for
// different connections run concurrently.
type Handler interface {
	Connected(ctx context.Context, c Connection)
	// Invoked answers a client's invocation. The text of an *Error reaches the
	// client; any other error reaches it as a message that says nothing.
	Invoked(ctx context.Context, c Connection, m Message) (result json.RawMessage, err error)
	Disconnected(ctx context.Context, c Connection, reason string)
}

// Claims is what the application vouches for about a client.
type Claims struct {
	// User is the user id under which Send reaches the client; may be empty.
	User string
	// Custom claims come back in Connection.Claims. Names that JWT or SignalR
	// reserve (aud, exp, asrs.*, …) are escaped on the wire, and come back as given.
	Custom map[string]string
	// Lifetime of the access token; 0 means one hour.
	Lifetime time.Duration
	// Origin (scheme://host[:port]) at which the client reached the application.
	// A service without an address of its own answers with it; others ignore it.
	Origin string
}

// Endpoint is the first answer of the SignalR negotiation: the client goes on at
// URL with AccessToken. The JSON form is the wire form.
type Endpoint struct {
	URL         string `json:"url"`
	AccessToken string `json:"accessToken"`
}

// Connection is a client's connection as a Handler sees it.
type Connection struct {
	ID     string // public id, unguessable, URL-safe
	Hub    string // lower case
	User   string // may be empty
	Claims map[string]string
	// Query is the query string with which the client connected, with its leading
	// '?' but without access_token and id; empty if nothing is left.
	Query string
}

// Message is one invocation: a target (method name) and its arguments, each
// one JSON value.
type Message struct {
	Target    string            `json:"target"`
	Arguments []json.RawMessage `json:"arguments"`
}

// NewMessage encodes args as the arguments of a message to target.
func NewMessage(target string, args ...any) (Message, error) {
	m := Message{Target: target, Arguments: make([]json.RawMessage, len(args))}
	for i, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			return Message{}, err
		}
		m.Arguments[i] = b
	}
	return m, nil
}

// RecipientKind says what the id of a Recipient names.
type RecipientKind uint8

// The kinds of recipients.
const (
	KindAll RecipientKind = iota // every connection of the hub
	KindGroup
	KindUser
	KindConnection
)

// Recipient names the connections that a message goes to.
type Recipient struct {
	Kind RecipientKind
	ID   string // of the group, user or connection; empty for KindAll
	// Excluded connection ids; honoured for KindAll and KindGroup.
	Excluded []string
}

// All names every connection of the hub but the excluded ones.
func All(excluded ...string) Recipient { return Recipient{Kind: KindAll, Excluded: excluded} }

// Group names the connections of a group but the excluded ones.
func Group(name string, excluded ...string) Recipient {
	return Recipient{Kind: KindGroup, ID: name, Excluded: excluded}
}

// User names all connections of a user.
func User(id string) Recipient { return Recipient{Kind: KindUser, ID: id} }

// ToConnection names one connection.
func ToConnection(id string) Recipient { return Recipient{Kind: KindConnection, ID: id} }

// ErrNoConnection says that a connection does not exist (any more).
var ErrNoConnection = errors.New("no such connection")

// Error is an error whose text is meant for the client that caused it.
type Error struct {
	Code    string // short, stable, lower_case
	Message string // a sentence for people
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
