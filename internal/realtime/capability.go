package realtime

import (
	"context"
	"encoding/json"
	"time"
)

// The interfaces below are optional: a Service or a Handler that has one of them
// can do more than the contract asks. Callers find out by type assertion.

// UserGroups is a Service that keeps groups of users, which outlive connections:
// a user's new connections join by themselves.
type UserGroups interface {
	// AddUserToGroup puts all connections of user into group, now and for ttl to
	// come. ttl < 0 says that none was given (the service keeps the latest 100
	// groups of a user that way); 0 means the current connections only.
	AddUserToGroup(ctx context.Context, group, user string, ttl time.Duration) error
	// RemoveUserFromGroup forgets the user and takes its connections out of the
	// group. That either is unknown is no error.
	RemoveUserFromGroup(ctx context.Context, group, user string) error
	// RemoveUserFromAllGroups does the same for every group.
	RemoveUserFromAllGroups(ctx context.Context, user string) error
	// UserInGroup says whether the user was added and has not been removed since.
	UserInGroup(ctx context.Context, group, user string) (bool, error)
	// LeaveAllGroups takes one connection out of all its groups.
	LeaveAllGroups(ctx context.Context, connectionID string) error
}

// Presence is a Service that says who is connected. Only live connections count.
type Presence interface {
	// Exists says whether who names at least one connection.
	Exists(ctx context.Context, who Recipient) (bool, error)
	// Count counts the connections that who names, and the different users among them.
	Count(ctx context.Context, who Recipient) (connections, users int, err error)
	// Connections lists the connections that who names in the order of their ids,
	// at most limit of them, beginning after the id after. next is the value of
	// after for the next page, and empty after the last one.
	Connections(ctx context.Context, who Recipient, after string, limit int) (page []ConnectionInfo, next string, err error)
}

// ConnectionInfo is an entry of a list of connections.
type ConnectionInfo struct {
	ConnectionID string `json:"connectionId"`
	UserID       string `json:"userId,omitempty"`
}

// Closer is a Service that closes many connections in one call.
type Closer interface {
	CloseConnections(ctx context.Context, who Recipient, reason string) error
}

// Refuser is a Service that can close a connection whose client shall not come back
// by itself, as CloseConnection leaves to the service.
type Refuser interface {
	// RefuseConnection ends a connection for good. ErrNoConnection if it is known to
	// be gone.
	RefuseConnection(ctx context.Context, connectionID, reason string) error
}

// Invoker is a Service that asks one client for a result.
type Invoker interface {
	// Invoke returns what the client's handler for m returned, or ErrNoConnection,
	// or an *Error with the client's text, or the error of ctx.
	Invoke(ctx context.Context, connectionID string, m Message) (json.RawMessage, error)
}

// RawSender is a Service that delivers invocations which are already framed, by
// the name of the hub protocol ("json", "messagepack"), as they are. Connections
// whose protocol is missing are skipped.
type RawSender interface {
	SendRaw(ctx context.Context, to Recipient, framed map[string][]byte) error
}

// RawHandler is a Handler that wants invocations in the client's own encoding,
// and answers in it. A service calls InvokedRaw in place of Invoked.
type RawHandler interface {
	Handler
	// InvokedRaw gets the unframed invocation as the client sent it. completion is
	// a completion message in the same protocol, framed or not, or nil for "void";
	// it is looked at only if the client wants a result. raw belongs to the callee.
	InvokedRaw(ctx context.Context, c Connection, protocol, target string, raw []byte, wantsResult bool) (completion []byte, err error)
}

// Prompt is a Handler whose methods never wait for anything: they compute, and
// call the Service. A service may call it on the goroutine that reads the client's
// connection, and may write what it sends a moment later, together with more.
//
// The context and the Message's arguments are valid only during the call: a method
// that keeps either copies it (context.WithoutCancel, bytes.Clone).
type Prompt interface {
	Handler
	// Prompt does nothing; that it is there is the promise.
	Prompt()
}
