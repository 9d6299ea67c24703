package rest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"causeway/internal/realtime"
)

// maxCommands bounds the commands of one request.
const maxCommands = 100

// command is one command of :execute, applied to one connection.
type command func(c *call, connectionID string) error

type wireCommand struct {
	Type    string       `json:"type"`
	Message *wireMessage `json:"message"`
	Group   string       `json:"group"`
	Reason  string       `json:"reason"`
}

// execute runs the body's commands, in their order, for each connection that the
// filter means. Nothing is done unless all of them are valid.
func (h *Handler) execute(c *call) error {
	presence, err := c.presence()
	if err != nil {
		return err
	}
	meant, err := parseFilter(c.query.Get("filter"))
	if err != nil {
		return err
	}
	commands, err := h.readCommands(c)
	if err != nil {
		return err
	}
	err = scan(c, presence, realtime.All(), func(info realtime.ConnectionInfo) error {
		if !meant(info) {
			return nil
		}
		for _, do := range commands {
			if err := do(c, info.ConnectionID); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return serviceError(err)
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *Handler) readCommands(c *call) ([]command, error) {
	kind, err := contentType(c.r)
	if err != nil {
		return nil, err
	}
	if kind != "application/json" {
		return nil, &problem{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", message: "want application/json"}
	}
	body, err := h.readBody(c)
	if err != nil {
		return nil, err
	}
	return decodeCommands(body)
}

func decodeCommands(body []byte) ([]command, error) {
	var wire []wireCommand
	if err := decodeJSON(body, &wire); err != nil {
		return nil, err
	}
	if len(wire) == 0 || len(wire) > maxCommands {
		return nil, badRequest("body", fmt.Sprintf("want an array of 1 to %d commands", maxCommands))
	}
	commands := make([]command, len(wire))
	for i, w := range wire {
		do, err := w.command()
		if err != nil {
			return nil, err
		}
		commands[i] = do
	}
	return commands, nil
}

func (w wireCommand) command() (command, error) {
	switch strings.ToLower(w.Type) {
	case "sendmessage":
		if w.Message == nil {
			return nil, badRequest("message", "SendMessage has no message")
		}
		m, err := w.Message.message()
		return func(c *call, id string) error { return c.service.Send(c.ctx(), realtime.ToConnection(id), m) }, err
	case "joingroup":
		return func(c *call, id string) error { return c.service.JoinGroup(c.ctx(), w.Group, id) }, checkGroup(w.Group)
	case "leavegroup":
		return func(c *call, id string) error { return c.service.LeaveGroup(c.ctx(), w.Group, id) }, checkGroup(w.Group)
	case "closeconnection":
		return func(c *call, id string) error { return c.service.CloseConnection(c.ctx(), id, w.Reason) }, nil
	}
	return nil, badRequest("type", "want SendMessage, JoinGroup, LeaveGroup or CloseConnection")
}
