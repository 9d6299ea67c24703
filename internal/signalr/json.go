package signalr

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// recordSeparator ends every JSON message. It can't occur in valid JSON.
const recordSeparator = 0x1E

const pingJSON = `{"type":6}`

func appendJSONFrame(dst []byte, m *Message) ([]byte, error) {
	start := len(dst)
	if err := m.check(); err != nil {
		return dst, err
	}
	if m.Type == Ping {
		return append(append(dst, pingJSON...), recordSeparator), nil
	}
	dst = append(dst, `{"type":`...)
	dst = append(dst, '0'+byte(m.Type))
	if len(m.Headers) > 0 && m.Type.Counted() {
		h, err := json.Marshal(m.Headers)
		if err != nil {
			return dst[:start], err
		}
		dst = append(append(dst, `,"headers":`...), h...)
	}
	if m.InvocationID != "" && m.Type.Counted() {
		dst = appendJSONString(append(dst, `,"invocationId":`...), m.InvocationID)
	}
	var err error
	switch m.Type {
	case Invocation, StreamInvocation:
		dst, err = appendJSONCall(dst, m)
	case StreamItem:
		dst, err = appendJSONValue(append(dst, `,"item":`...), m.Value)
	case Completion:
		if m.Error != "" {
			dst = appendJSONString(append(dst, `,"error":`...), m.Error)
		} else if m.Value != nil {
			dst, err = appendJSONValue(append(dst, `,"result":`...), m.Value)
		}
	case Close:
		if m.Error != "" {
			dst = appendJSONString(append(dst, `,"error":`...), m.Error)
		}
		if m.AllowReconnect {
			dst = append(dst, `,"allowReconnect":true`...)
		}
	case Ack, Sequence:
		dst = strconv.AppendUint(append(dst, `,"sequenceId":`...), m.SequenceID, 10)
	}
	if err != nil {
		return dst[:start], err
	}
	return append(dst, '}', recordSeparator), nil
}

func appendJSONCall(dst []byte, m *Message) ([]byte, error) {
	dst = appendJSONString(append(dst, `,"target":`...), m.Target)
	dst = append(dst, `,"arguments":[`...)
	var err error
	for i, a := range m.Arguments {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendJSONValue(dst, a); err != nil {
			return dst, err
		}
	}
	dst = append(dst, ']')
	if len(m.StreamIDs) > 0 {
		dst = append(dst, `,"streamIds":[`...)
		for i, id := range m.StreamIDs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, id)
		}
		dst = append(dst, ']')
	}
	return dst, nil
}

func appendJSONValue(dst []byte, v json.RawMessage) ([]byte, error) {
	if len(v) == 0 {
		return append(dst, "null"...), nil
	}
	if !ValidValue(v) {
		return dst, malformed("a value is not valid JSON")
	}
	return append(dst, v...), nil
}

// appendJSONString appends s as a JSON string.
func appendJSONString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7F || c == '"' || c == '\\' {
			b, err := json.Marshal(s) // replaces invalid UTF-8; can't fail for strings
			if err != nil {
				return append(dst, `""`...)
			}
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// decodeJSON reads a JSON message. Property order is free, unknown properties are
// skipped, and of a property that comes twice the last one counts.
func decodeJSON(b []byte) (Message, error) {
	if string(b) == pingJSON {
		return Message{Type: Ping}, nil
	}
	var m Message
	if !utf8.Valid(b) {
		return m, malformed("not UTF-8")
	}
	var d jsonFields
	end := eachMember(b, skipSpace(b, 0), func(key, value []byte) error { return d.set(&m, key, value) })
	if d.err != nil {
		return m, d.err
	}
	if end < 0 || skipSpace(b, end) != len(b) {
		return m, malformed("not a JSON object")
	}
	if !m.Type.Known() {
		return Message{Type: m.Type}, d.typeError()
	}
	if err := d.finish(&m); err != nil {
		return m, err
	}
	return m, m.check()
}

// eachMember calls f for the members of the object at b[i], and returns the index
// after the object, or -1 if there is no valid object or f failed.
func eachMember(b []byte, i int, f func(key, value []byte) error) int {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		keyStart := i
		if i >= len(b) || b[i] != '"' {
			return -1
		}
		keyEnd := scanString(b, i)
		if keyEnd < 0 {
			return -1
		}
		if i = skipSpace(b, keyEnd); i >= len(b) || b[i] != ':' {
			return -1
		}
		start := skipSpace(b, i+1)
		if i = scanValue(b, start); i < 0 {
			return -1
		}
		if f(b[keyStart:keyEnd], b[start:i]) != nil {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			return i + 1
		case ',':
			i = skipSpace(b, i+1)
		default:
			return -1
		}
	}
}

// jsonFields holds the properties whose meaning depends on a type that may come later.
type jsonFields struct {
	hasType                                   bool
	arguments, streamIDs, headers             []byte
	item, result, errText, id, target, seq, r []byte
	err                                       error
}

func (d *jsonFields) set(m *Message, key, value []byte) error {
	name := key[1 : len(key)-1]
	switch string(name) {
	case "type":
		n, err := strconv.ParseUint(string(value), 10, 8)
		if err != nil {
			d.err = malformed("type is not a small number")
			return d.err
		}
		m.Type, d.hasType = Type(n), true
	case "arguments":
		d.arguments = value
	case "target":
		d.target = value
	case "invocationId":
		d.id = value
	case "streamIds":
		d.streamIDs = value
	case "headers":
		d.headers = value
	case "item":
		d.item = value
	case "result":
		d.result = value
	case "error":
		d.errText = value
	case "allowReconnect":
		d.r = value
	case "sequenceId":
		d.seq = value
	}
	return nil
}

func (d *jsonFields) typeError() error {
	if !d.hasType {
		return malformed("no type")
	}
	return nil
}

func (d *jsonFields) finish(m *Message) (err error) {
	if m.Type.Counted() {
		if m.InvocationID, err = optionalString(d.id, "invocationId"); err != nil {
			return err
		}
		if len(d.headers) > 0 && string(d.headers) != "null" {
			if json.Unmarshal(d.headers, &m.Headers) != nil {
				return malformed("headers are not an object of strings")
			}
		}
	}
	switch m.Type {
	case Invocation, StreamInvocation:
		return d.finishCall(m)
	case StreamItem:
		m.Value = d.item
	case Completion:
		m.Value = d.result
		m.Error, err = errorText(d.errText)
	case Close:
		m.AllowReconnect = string(d.r) == "true"
		m.Error, err = optionalString(d.errText, "error")
	case Ack, Sequence:
		if m.SequenceID, err = strconv.ParseUint(string(d.seq), 10, 63); err != nil {
			return malformed("sequenceId is not a number")
		}
	}
	return err
}

func (d *jsonFields) finishCall(m *Message) (err error) {
	if m.Target, err = optionalString(d.target, "target"); err != nil {
		return err
	}
	if m.Arguments, err = elements(d.arguments); err != nil {
		return err
	}
	ids, err := elements(d.streamIDs)
	if err != nil {
		return err
	}
	for _, raw := range ids {
		id, err := optionalString(raw, "streamIds")
		if err != nil {
			return err
		}
		m.StreamIDs = append(m.StreamIDs, id)
	}
	return nil
}

// errorText reads the error of a Completion. One without text still is an error.
func errorText(raw []byte) (string, error) {
	s, err := optionalString(raw, "error")
	if err == nil && s == "" && len(raw) > 0 && raw[0] == '"' {
		s = noErrorText
	}
	return s, err
}

const noErrorText = "unspecified error"

func optionalString(raw []byte, name string) (string, error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", nil
	case raw[0] != '"':
		return "", malformed("%s is not a string", name)
	}
	return unquote(raw)
}

// elements splits a JSON array, which scanValue has accepted.
func elements(b []byte) ([]json.RawMessage, error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	if b[0] != '[' {
		return nil, malformed("not an array")
	}
	var out []json.RawMessage
	for i := skipSpace(b, 1); b[i] != ']'; {
		end := scanValue(b, i)
		if end < 0 {
			return nil, malformed("not an array")
		}
		if out == nil {
			out = make([]json.RawMessage, 0, 2)
		}
		out = append(out, json.RawMessage(b[i:end:end]))
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return out, nil
}
