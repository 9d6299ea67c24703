package signalr

import (
	"encoding/json"
	"strings"
	"testing"
)

// message has the size of a session description.
func message() Message {
	sdp := `"` + strings.Repeat(`a=candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host\r\n`, 25) + `"`
	return Message{Type: Invocation, Target: "signal", Arguments: []json.RawMessage{json.RawMessage(`"peer"`), json.RawMessage(sdp)}}
}

func BenchmarkAppend(b *testing.B) {
	m := message()
	for _, p := range Protocols() {
		b.Run(p.String(), func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				buf, _ = p.Append(buf[:0], &m)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	m := message()
	for _, p := range Protocols() {
		b.Run(p.String(), func(b *testing.B) {
			frame, _ := p.Append(nil, &m)
			s := NewSplitter(p, 1<<20)
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if err := s.Feed(frame, func(body []byte) error { _, err := p.Decode(body); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
