package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"causeway/internal/realtime"
	"causeway/internal/signalr"

	"github.com/tinylib/msgp/msgp"
)

// payload is the body of a send: a message, and if the caller framed it itself,
// its frames by hub protocol.
type payload struct {
	message realtime.Message
	framed  map[string][]byte
}

// readPayload reads the body of a send (spec §4.3).
func (h *Handler) readPayload(c *call) (payload, error) {
	kind, err := contentType(c.r)
	if err != nil {
		return payload{}, err
	}
	switch kind {
	case "application/json", "application/octet-stream":
	case "application/x-msgpack":
		return payload{}, notImplemented("bodies of application/x-msgpack are not supported; send application/json or application/octet-stream")
	default:
		return payload{}, &problem{
			status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", target: "Content-Type",
			message: "want application/json or application/octet-stream",
		}
	}
	body, err := h.readBody(c)
	if err != nil {
		return payload{}, err
	}
	if kind == "application/octet-stream" {
		return decodeFramed(body)
	}
	m, err := decodeMessage(body)
	return payload{message: m}, err
}

// contentType is the media type of the body, application/json if none is given.
func contentType(r *http.Request) (string, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "", &problem{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", target: "Content-Encoding", message: "compressed bodies are not supported"}
	}
	text := r.Header.Get("Content-Type")
	if text == "" {
		return "application/json", nil
	}
	kind, _, err := mime.ParseMediaType(text)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", badRequest("Content-Type", "malformed content type")
	}
	return kind, nil
}

func (h *Handler) readBody(c *call) ([]byte, error) {
	if c.r.ContentLength > h.cfg.MaxBody {
		return nil, tooLarge(h.cfg.MaxBody)
	}
	var buffer bytes.Buffer
	buffer.Grow(int(max(c.r.ContentLength, 0)) + bytes.MinRead)
	_, err := buffer.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, h.cfg.MaxBody))
	body := buffer.Bytes()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge(h.cfg.MaxBody)
	case err != nil:
		return nil, badRequest("body", "the body ended early")
	case len(body) == 0:
		return nil, badRequest("body", "the body is empty")
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return &problem{status: http.StatusRequestEntityTooLarge, code: "PayloadTooLarge", message: fmt.Sprintf("the body exceeds %d bytes", limit)}
}

// wireMessage is {"target","arguments"}. encoding/json compares names without
// case, as callers do: the .NET SDK writes them in upper case.
type wireMessage struct {
	Target    *string           `json:"target"`
	Arguments []json.RawMessage `json:"arguments"`
}

func (w wireMessage) message() (realtime.Message, error) {
	if w.Target == nil || *w.Target == "" {
		return realtime.Message{}, badRequest("target", "the message has no target")
	}
	if w.Arguments == nil {
		w.Arguments = []json.RawMessage{}
	}
	for i, a := range w.Arguments {
		if a == nil { // encoding/json leaves null out of a RawMessage in some cases
			w.Arguments[i] = json.RawMessage("null")
		}
	}
	return realtime.Message{Target: *w.Target, Arguments: w.Arguments}, nil
}

// decodeJSON decodes a whole body of valid UTF-8 into v. encoding/json would
// replace invalid bytes in some places and pass them on in others.
func decodeJSON(body []byte, v any) error {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // .NET's encoders may begin with it
	if !utf8.Valid(body) {
		return badRequest("body", "the body is not UTF-8")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return badRequest("body", "the body is not the JSON that is expected")
	}
	return nil
}

func decodeMessage(body []byte) (realtime.Message, error) {
	var w wireMessage
	if err := decodeJSON(body, &w); err != nil {
		return realtime.Message{}, err
	}
	return w.message()
}

// maxFramed bounds the entries of a map of frames; there are three protocols.
const maxFramed = 8

// decodeFramed decodes a MessagePack map of hub protocol to framed invocation.
// Protocols that are not ours are left out. Each frame must be exactly one
// invocation: anything else would break the connections that it is sent to.
func decodeFramed(body []byte) (payload, error) {
	malformed := func(what string) (payload, error) {
		return payload{}, badRequest("body", "the body is not a MessagePack map of framed messages: "+what)
	}
	n, rest, err := msgp.ReadMapHeaderBytes(body)
	if err != nil || n == 0 || n > maxFramed {
		return malformed("no map, or of a wrong size")
	}
	p := payload{framed: map[string][]byte{}}
	for range n {
		var name string
		var frame []byte
		if name, rest, err = msgp.ReadStringBytes(rest); err != nil {
			return malformed("a key is no string")
		}
		if frame, rest, err = msgp.ReadBytesZC(rest); err != nil {
			return malformed("a value is not binary")
		}
		protocol, known := signalr.ProtocolByName(name)
		if !known {
			continue
		}
		if _, twice := p.framed[name]; twice {
			return malformed("a protocol appears twice")
		}
		m, err := oneInvocation(protocol, frame)
		if err != nil {
			return malformed("the value for " + name + " is not one framed invocation")
		}
		p.framed[name] = frame
		if protocol == signalr.JSON || p.message.Target == "" {
			p.message = m
		}
	}
	if len(rest) > 0 {
		return malformed("bytes after the map")
	}
	if len(p.framed) == 0 {
		return malformed("no known protocol")
	}
	return p, nil
}

var errNotOne = errors.New("want exactly one invocation")

func oneInvocation(protocol signalr.Protocol, frame []byte) (realtime.Message, error) {
	var found *signalr.Message
	splitter := signalr.NewSplitter(protocol, len(frame))
	err := splitter.Feed(frame, func(body []byte) error {
		if found != nil {
			return errNotOne
		}
		m, err := protocol.Decode(body)
		found = &m
		return err
	})
	if err != nil {
		return realtime.Message{}, err
	}
	if found == nil || splitter.Partial() || found.Type != signalr.Invocation || found.Target == "" {
		return realtime.Message{}, errNotOne
	}
	return realtime.Message{Target: found.Target, Arguments: found.Arguments}, nil
}
