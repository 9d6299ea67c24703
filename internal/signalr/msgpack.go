package signalr

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// The kinds of a Completion in MessagePack.
const (
	completionError = 1
	completionVoid  = 2
	completionValue = 3
)

func appendMsgpackFrame(dst []byte, m *Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return dst, err
	}
	if m.Type == Ping {
		return append(dst, 2, 0x91, 6), nil
	}
	// The length prefix comes before a body whose length is not known: leave room
	// for the longest one, and close the gap.
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	dst, err := appendMsgpack(dst, m)
	if err != nil {
		return dst[:start], err
	}
	n := len(dst) - start - 5
	prefix := appendLength(dst[start:start:start+5], n)
	copy(dst[start+len(prefix):], dst[start+5:])
	return dst[:start+len(prefix)+n], nil
}

func appendMsgpack(dst []byte, m *Message) (_ []byte, err error) {
	switch m.Type {
	case Invocation, StreamInvocation:
		dst = appendMsgpackHead(dst, 6, m)
		dst = msgp.AppendString(dst, m.Target)
		dst = msgp.AppendArrayHeader(dst, uint32(len(m.Arguments)))
		for _, a := range m.Arguments {
			if dst, err = appendFromJSON(dst, a); err != nil {
				return dst, err
			}
		}
		dst = msgp.AppendArrayHeader(dst, uint32(len(m.StreamIDs)))
		for _, id := range m.StreamIDs {
			dst = msgp.AppendString(dst, id)
		}
	case StreamItem:
		return appendFromJSON(appendMsgpackHead(dst, 4, m), m.Value)
	case Completion:
		switch {
		case m.Error != "":
			dst = append(appendMsgpackHead(dst, 5, m), completionError)
			dst = msgp.AppendString(dst, m.Error)
		case m.Value == nil:
			dst = append(appendMsgpackHead(dst, 4, m), completionVoid)
		default:
			dst = append(appendMsgpackHead(dst, 5, m), completionValue)
			return appendFromJSON(dst, m.Value)
		}
	case CancelInvocation:
		dst = appendMsgpackHead(dst, 3, m)
	case Close:
		dst = append(msgp.AppendArrayHeader(dst, 3), byte(Close))
		if m.Error == "" {
			dst = msgp.AppendNil(dst)
		} else {
			dst = msgp.AppendString(dst, m.Error)
		}
		dst = msgp.AppendBool(dst, m.AllowReconnect)
	case Ack, Sequence:
		dst = append(msgp.AppendArrayHeader(dst, 2), byte(m.Type))
		dst = msgp.AppendUint64(dst, m.SequenceID)
	}
	return dst, nil
}

// appendMsgpackHead appends the elements that counted messages have in common.
func appendMsgpackHead(dst []byte, size uint32, m *Message) []byte {
	dst = append(msgp.AppendArrayHeader(dst, size), byte(m.Type))
	dst = msgp.AppendMapHeader(dst, uint32(len(m.Headers)))
	for k, v := range m.Headers {
		dst = msgp.AppendString(msgp.AppendString(dst, k), v)
	}
	if m.InvocationID == "" {
		return msgp.AppendNil(dst)
	}
	return msgp.AppendString(dst, m.InvocationID)
}

// msgpackReader reads the elements of a message; after an error it reads nothing.
type msgpackReader struct {
	b    []byte
	left uint32 // elements of the message not yet read
	err  error
}

func (r *msgpackReader) fail(what string) {
	if r.err == nil {
		r.err = malformed("%s", what)
	}
}

func (r *msgpackReader) next(what string) bool {
	if r.err == nil && r.left == 0 {
		r.fail("no " + what)
	}
	if r.err != nil {
		return false
	}
	r.left--
	return true
}

func (r *msgpackReader) uint(what string) (n uint64) {
	if !r.next(what) {
		return 0
	}
	var err error
	if n, r.b, err = msgp.ReadUint64Bytes(r.b); err != nil {
		r.fail(what + " is not a number")
	}
	return n
}

// string reads a string or, for absent ones, nil.
func (r *msgpackReader) string(what string) string {
	if !r.next(what) {
		return ""
	}
	return r.stringValue(what)
}

func (r *msgpackReader) stringValue(what string) string {
	if len(r.b) > 0 && msgp.NextType(r.b) == msgp.NilType {
		r.b = r.b[1:]
		return ""
	}
	s, rest, err := msgp.ReadStringBytes(r.b)
	if err != nil || !utf8.ValidString(s) {
		r.fail(what + " is not a string")
		return ""
	}
	r.b = rest
	return s
}

// array reads an array's length. Each element has at least one byte, so a length
// that the rest of the message can't hold is refused before anything is allocated.
func (r *msgpackReader) array(what string) uint32 {
	if !r.next(what) {
		return 0
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(r.b)
	if err != nil || int64(n) > int64(len(rest)) {
		r.fail(what + " is not an array")
		return 0
	}
	r.b = rest
	return n
}

func (r *msgpackReader) value(what string) json.RawMessage {
	if !r.next(what) {
		return nil
	}
	return r.anyValue()
}

func (r *msgpackReader) anyValue() json.RawMessage {
	v, rest, err := appendToJSON(nil, r.b, 0)
	if err != nil {
		r.err = err
		return nil
	}
	r.b = rest
	return v
}

func (r *msgpackReader) headers() map[string]string {
	if !r.next("headers") {
		return nil
	}
	if len(r.b) > 0 && msgp.NextType(r.b) == msgp.NilType {
		r.b = r.b[1:]
		return nil
	}
	n, rest, err := msgp.ReadMapHeaderBytes(r.b)
	if err != nil || int64(n)*2 > int64(len(rest)) {
		r.fail("headers are not a map")
		return nil
	}
	r.b = rest
	if n == 0 {
		return nil
	}
	h := make(map[string]string, min(n, 16))
	for range n {
		k := r.stringValue("header")
		if h[k] = r.stringValue("header"); r.err != nil {
			return nil
		}
	}
	return h
}

// msgpackHead reads a message up to and with its target or invocation id.
func msgpackHead(body []byte) (m Message, r msgpackReader, err error) {
	n, rest, err := msgp.ReadArrayHeaderBytes(body)
	if err != nil {
		return m, r, malformed("not an array")
	}
	r = msgpackReader{b: rest, left: n}
	t := r.uint("type")
	if r.err != nil || t > 255 {
		return m, r, malformed("type is not a small number")
	}
	m.Type = Type(t)
	if m.Type.Counted() {
		m.Headers = r.headers()
		m.InvocationID = r.string("invocation id")
		if m.Type == Invocation || m.Type == StreamInvocation {
			m.Target = r.string("target")
		}
	}
	return m, r, r.err
}

func decodeMsgpack(body []byte) (Message, error) {
	m, r, err := msgpackHead(body)
	if err != nil || !m.Type.Known() {
		return m, err
	}
	switch m.Type {
	case Invocation, StreamInvocation:
		for n := r.array("arguments"); n > 0 && r.err == nil; n-- {
			m.Arguments = append(m.Arguments, r.anyValue())
		}
		if r.left > 0 && r.err == nil { // old clients leave the stream ids out
			for n := r.array("stream ids"); n > 0 && r.err == nil; n-- {
				m.StreamIDs = append(m.StreamIDs, r.stringValue("stream id"))
			}
		}
	case StreamItem:
		m.Value = r.value("item")
	case Completion:
		r.completion(&m)
	case Close:
		if r.left > 0 {
			m.Error = r.string("error")
		}
		if r.left > 0 && r.next("allowReconnect") {
			var err error
			if m.AllowReconnect, r.b, err = msgp.ReadBoolBytes(r.b); err != nil {
				r.fail("allowReconnect is not a boolean")
			}
		}
	case Ack, Sequence:
		if m.SequenceID = r.uint("sequenceId"); m.SequenceID > 1<<63-1 {
			r.fail("sequenceId is too large")
		}
	}
	if r.err != nil {
		return m, r.err
	}
	// Elements that a later version of the protocol adds would stand here; bytes
	// after the array can't.
	for ; r.left > 0; r.left-- {
		if r.anyValue(); r.err != nil {
			return m, r.err
		}
	}
	if len(r.b) > 0 {
		return m, malformed("bytes after the message")
	}
	return m, m.check()
}

func (r *msgpackReader) completion(m *Message) {
	switch kind := r.uint("kind"); kind {
	case completionError:
		if m.Error = r.string("error"); m.Error == "" {
			m.Error = noErrorText
		}
	case completionVoid:
	case completionValue:
		m.Value = r.value("result")
	default:
		r.fail("completion kind")
	}
}
