// Package echo is a realtime.Handler for demonstrations and benchmarks: a hub
// whose clients reach each other without any application behind it. It does no
// more than a serverless hub makes an application do, one call of the data plane
// for each invocation, so that what is measured is the hub.
//
//	echo(args…)                  → the caller gets echo(args…)
//	send(connectionId, payload)  → that connection gets message(payload)
//	join(group)                  → the caller is in the group
//	group(name, payload)         → the group's connections get message(payload)
//	broadcast(payload)           → all connections get message(payload)
//
// Whoever can connect can send to everybody, so it is never on by default.
package echo

import (
	"bytes"
	"context"
	"encoding/json"

	"causeway/internal/realtime"
)

// Hub is the name of the hub that the handler is made for.
const Hub = "echo"

// Targets of what clients receive.
const (
	TargetEcho    = "echo"
	TargetMessage = "message"
)

// Handler answers the invocations above. Service is set before the first
// connection and not changed after it.
type Handler struct {
	Service realtime.Service
}

var errArguments = &realtime.Error{Code: "bad_arguments", Message: "The target takes other arguments."}

var _ realtime.Prompt = (*Handler)(nil)

// Prompt implements realtime.Prompt: nothing here waits, if the Service does not.
func (h *Handler) Prompt() {}

// Connected implements realtime.Handler.
func (h *Handler) Connected(context.Context, realtime.Connection) {}

// Disconnected implements realtime.Handler.
func (h *Handler) Disconnected(context.Context, realtime.Connection, string) {}

// Invoked implements realtime.Handler. No target has a result.
func (h *Handler) Invoked(ctx context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	switch m.Target {
	case "echo":
		return nil, h.Service.Send(ctx, realtime.ToConnection(c.ID), realtime.Message{Target: TargetEcho, Arguments: m.Arguments})
	case "send":
		id, payload, err := addressed(m.Arguments, 2)
		if err != nil {
			return nil, err
		}
		return nil, h.Service.Send(ctx, realtime.ToConnection(id), realtime.Message{Target: TargetMessage, Arguments: payload})
	case "join":
		group, _, err := addressed(m.Arguments, 1)
		if err != nil {
			return nil, err
		}
		return nil, h.Service.JoinGroup(ctx, group, c.ID)
	case "group":
		name, payload, err := addressed(m.Arguments, 2)
		if err != nil {
			return nil, err
		}
		return nil, h.Service.Send(ctx, realtime.Group(name), realtime.Message{Target: TargetMessage, Arguments: payload})
	case "broadcast":
		if len(m.Arguments) != 1 {
			return nil, errArguments
		}
		return nil, h.Service.Send(ctx, realtime.All(), realtime.Message{Target: TargetMessage, Arguments: m.Arguments})
	}
	return nil, &realtime.Error{Code: "no_such_target", Message: "The echo hub has no such target."}
}

// addressed splits the n arguments of a target that takes a name first.
func addressed(arguments []json.RawMessage, n int) (name string, payload []json.RawMessage, err error) {
	if len(arguments) != n {
		return "", nil, errArguments
	}
	name, ok := text(arguments[0])
	if !ok {
		return "", nil, errArguments
	}
	return name, arguments[1:], nil
}

// text is the JSON string in b, which is valid JSON; not ok if it is no string, or
// empty. What needs no unescaping is not worth a decoder.
func text(b json.RawMessage) (s string, ok bool) {
	if n := len(b); n > 2 && b[0] == '"' && b[n-1] == '"' && bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : n-1]), true
	}
	err := json.Unmarshal(b, &s)
	return s, err == nil && s != ""
}
