package signalr

import (
	"bytes"
	"encoding/json"
)

// Handshake is the first message of a client, JSON whatever protocol it asks for.
type Handshake struct {
	Protocol string
	Version  int
}

// maxHandshake bounds a handshake message; those of real clients have 40 bytes.
const maxHandshake = 4096

// CutHandshake returns the body of the handshake at the beginning of a stream and
// the bytes after it, which are ordinary messages. ok is false if more bytes are
// needed.
func CutHandshake(b []byte) (body, rest []byte, ok bool, err error) {
	i := bytes.IndexByte(b, recordSeparator)
	switch {
	case i > maxHandshake || i < 0 && len(b) > maxHandshake:
		return nil, nil, false, ErrTooLarge
	case i < 0:
		return nil, nil, false, nil
	}
	return b[:i], b[i+1:], true, nil
}

// ParseHandshake reads the body of a handshake.
func ParseHandshake(body []byte) (Handshake, error) {
	var h Handshake
	var bad error
	var seen int
	end := eachMember(body, skipSpace(body, 0), func(key, value []byte) error {
		switch string(key) {
		case `"protocol"`:
			h.Protocol, bad = optionalString(value, "protocol")
			seen |= 1
		case `"version"`:
			if json.Unmarshal(value, &h.Version) != nil {
				bad = malformed("version is not a number")
			}
			seen |= 2
		}
		return bad
	})
	switch {
	case bad != nil:
		return h, bad
	case end < 0 || skipSpace(body, end) != len(body):
		return h, malformed("handshake is not a JSON object")
	case seen != 3 || h.Protocol == "":
		return h, malformed("handshake without protocol or version")
	}
	return h, nil
}

// AppendHandshake appends the frame of h.
func AppendHandshake(dst []byte, h Handshake) []byte {
	dst = appendJSONString(append(dst, `{"protocol":`...), h.Protocol)
	dst = append(append(dst, `,"version":`...), '0'+byte(h.Version%10))
	return append(dst, '}', recordSeparator)
}

// AppendHandshakeReply appends the frame of the answer to a handshake; an empty
// errText accepts it.
func AppendHandshakeReply(dst []byte, errText string) []byte {
	dst = append(dst, '{')
	if errText != "" {
		dst = appendJSONString(append(dst, `"error":`...), errText)
	}
	return append(dst, '}', recordSeparator)
}

// ParseHandshakeReply reads the body of the answer to a handshake.
func ParseHandshakeReply(body []byte) (errText string, err error) {
	var reply struct {
		Error string `json:"error"`
		Type  *int   `json:"type"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || reply.Type != nil {
		return "", malformed("handshake reply")
	}
	return reply.Error, nil
}
