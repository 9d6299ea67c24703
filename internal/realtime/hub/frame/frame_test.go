package frame

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"causeway/internal/signalr"

	"github.com/gobwas/ws"
)

func readFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func TestNew(t *testing.T) {
	for _, n := range []int{0, 50, 60, 300, 65_400, 65_600, 200_000} {
		for _, p := range signalr.Protocols() {
			m := &signalr.Message{Type: signalr.Invocation, Target: "t", Arguments: []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", n) + `"`)}}
			want, err := p.Append(nil, m)
			if err != nil {
				t.Fatal(err)
			}
			f, err := New(p, m)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []*Frame{f, Hub(p, want, true)} {
				r := bytes.NewReader(f.Wire)
				got, err := readFrame(r)
				if err != nil || r.Len() > 0 || !got.Header.Fin || got.Header.Masked || (got.Header.OpCode == ws.OpBinary) != p.Binary() {
					t.Fatalf("%d bytes %s: header %+v, %d left, %v", n, p, got.Header, r.Len(), err)
				}
				if !bytes.Equal(got.Payload, want) || !bytes.Equal(f.Payload(), want) || !f.Counted {
					t.Fatalf("%d bytes %s: payload differs", n, p)
				}
			}
		}
	}
	if _, err := New(signalr.JSON, &signalr.Message{Type: signalr.Invocation}); err == nil {
		t.Error("an invocation without target was encoded")
	}
}

// FuzzParseHeader compares with the library's reader, on every prefix.
func FuzzParseHeader(f *testing.F) {
	for _, h := range []ws.Header{{Fin: true, OpCode: ws.OpText, Length: 5}, {OpCode: ws.OpBinary, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Length: 70_000}, {Fin: true, OpCode: ws.OpPing, Masked: true, Length: 126}} {
		var b bytes.Buffer
		if err := ws.WriteHeader(&b, h); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size, err := ParseHeader(b)
		r := bytes.NewReader(b)
		want, wantErr := ws.ReadHeader(r)
		switch {
		case wantErr == io.EOF || wantErr == io.ErrUnexpectedEOF:
			if size != 0 {
				t.Fatalf("%x: read a header of %d bytes from too few", b, size)
			}
		case wantErr != nil:
			if err == nil {
				t.Fatalf("%x: accepted, want %v", b, wantErr)
			}
		case err != nil || h != want || size != len(b)-r.Len():
			t.Fatalf("%x: %+v, %d, %v; want %+v, %d", b, h, size, err, want, len(b)-r.Len())
		}
	})
}

func TestAcceptable(t *testing.T) {
	ok := ws.Header{Fin: true, OpCode: ws.OpText, Masked: true}
	for _, tt := range []struct {
		name       string
		change     func(*ws.Header)
		fragmented bool
		want       bool
	}{
		{"text", func(*ws.Header) {}, false, true},
		{"text in a fragmented message", func(*ws.Header) {}, true, false},
		{"not masked", func(h *ws.Header) { h.Masked = false }, false, false},
		{"extension bit", func(h *ws.Header) { h.Rsv = 4 }, false, false},
		{"continuation of nothing", func(h *ws.Header) { h.OpCode = ws.OpContinuation }, false, false},
		{"continuation", func(h *ws.Header) { h.OpCode = ws.OpContinuation }, true, true},
		{"ping in a fragmented message", func(h *ws.Header) { h.OpCode = ws.OpPing }, true, true},
		{"fragmented ping", func(h *ws.Header) { h.OpCode, h.Fin = ws.OpPing, false }, false, false},
		{"long ping", func(h *ws.Header) { h.OpCode, h.Length = ws.OpPing, 126 }, false, false},
		{"reserved", func(h *ws.Header) { h.OpCode = 3 }, false, false},
	} {
		h := ok
		tt.change(&h)
		if got := Acceptable(h, tt.fragmented); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if CloseCode(nil) != ws.StatusNoStatusRcvd || CloseCode([]byte{3, 232, 'x'}) != ws.StatusNormalClosure {
		t.Error("close codes")
	}
}
