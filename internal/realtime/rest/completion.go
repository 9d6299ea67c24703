package rest

import (
	"bytes"
	"fmt"
	"net/http"

	"causeway/internal/signalr"
)

// completionOf makes a framed completion of the invocation id of an upstream's
// response. The official servers answer with a frame, others with its body alone;
// both are taken. A completion of another invocation, or any other message, would
// confuse the client and is refused. bare takes any other JSON value as the result.
func completionOf(p signalr.Protocol, id string, body []byte, bare bool) (completion []byte, ok bool) {
	if len(body) == 0 {
		return nil, true
	}
	for _, candidate := range [][]byte{unframe(p, body), body} {
		if candidate == nil {
			continue
		}
		m, err := p.Decode(candidate)
		if err == nil && m.Type == signalr.Completion && m.InvocationID == id {
			return p.AppendFrame(nil, candidate), true
		}
	}
	if !bare {
		return nil, false
	}
	value := bytes.TrimSpace(body)
	if p == signalr.MessagePack {
		var err error
		if value, err = signalr.ToJSON(nil, body); err != nil {
			return nil, false
		}
	}
	completion, err := p.Append(nil, &signalr.Message{Type: signalr.Completion, InvocationID: id, Value: value})
	return completion, err == nil && signalr.ValidValue(value)
}

// unframe is the body of the one frame that b is, or nil.
func unframe(p signalr.Protocol, b []byte) []byte {
	var body []byte
	count := 0
	splitter := signalr.NewSplitter(p, len(b))
	err := splitter.Feed(bytes.TrimRight(b, trailing(p)), func(found []byte) error {
		body = bytes.Clone(found)
		count++
		return nil
	})
	if err != nil || count != 1 || splitter.Partial() {
		return nil
	}
	return body
}

// trailing characters that text editors and print functions leave after a frame.
func trailing(p signalr.Protocol) string {
	if p == signalr.JSON {
		return " \r\n\t"
	}
	return ""
}

// text is what the client whose invocation failed is told (spec §5.3).
func (f *failure) text() string {
	switch f.reason {
	case reasonUnmatched:
		return "Invocation failed, no upstream is configured for this method."
	case reasonTooLarge:
		return "Invocation failed, response too large."
	case reasonBadResponse:
		if f.status == http.StatusOK {
			return "Invocation failed, the response is not a completion."
		}
	case reasonBadEvent, reasonBadHeader:
		return "Invocation failed, the method's name cannot be passed on."
	}
	return fmt.Sprintf("Invocation failed, status code %d", f.status)
}
