package signalr

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzScan compares the scanner with encoding/json, which it must agree with on
// every input that does not nest deeper than it allows.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,"x\u00e9\\\"",true,false,null,{}]}`, `[[[]]]`, `"`, `01`, `1.`, `{"a" : 1 , "b":[ ] }`, `"12345678\n"`, `{"a":1,}`, "\"\x7f\x1f\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) > maxDepth {
			return
		}
		if got, want := ValidValue(b), json.Valid(b) && utf8.Valid(b); got != want {
			t.Fatalf("ValidValue(%q) = %v, want %v", b, got, want)
		}
	})
}

// FuzzDecodeJSON compares what Decode reads with what encoding/json reads, and
// checks that messages survive being encoded again in either protocol.
func FuzzDecodeJSON(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.json))
	}
	f.Add([]byte(`{"arguments":[1, {"a":"\u001e"}],"target":"x","type":1,"target":"y"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := JSON.Decode(b)
		if err != nil {
			return
		}
		var ref map[string]json.RawMessage
		if err := json.Unmarshal(b, &ref); err != nil {
			t.Fatalf("Decode(%q) accepted what encoding/json refuses: %v", b, err)
		}
		var typ int
		if json.Unmarshal(ref["type"], &typ) != nil || typ != int(m.Type) {
			t.Fatalf("Decode(%q): type %d, want %d", b, m.Type, typ)
		}
		if m.Type == Invocation {
			var target string
			var args []json.RawMessage
			_ = json.Unmarshal(ref["target"], &target)
			_ = json.Unmarshal(ref["arguments"], &args)
			if target != m.Target || len(args) != len(m.Arguments) {
				t.Fatalf("Decode(%q): %q with %d arguments, want %q with %d", b, m.Target, len(m.Arguments), target, len(args))
			}
			for i := range args {
				if !bytes.Equal(args[i], m.Arguments[i]) {
					t.Fatalf("Decode(%q): argument %d = %q, want %q", b, i, m.Arguments[i], args[i])
				}
			}
		}
		if m.Type.Known() {
			roundTrip(t, m)
		}
	})
}

func roundTrip(t *testing.T, m Message) {
	frame, err := JSON.Append(nil, &m)
	if err != nil {
		t.Fatalf("Append(%+v): %v", m, err)
	}
	again, err := JSON.Decode(frame[:len(frame)-1])
	if err != nil || again.Type != m.Type || again.Target != m.Target || len(again.Arguments) != len(m.Arguments) || again.Error != m.Error || !bytes.Equal(again.Value, m.Value) {
		t.Fatalf("JSON of %+v came back as %+v, %v", m, again, err)
	}
	// Numbers beyond float64 have no MessagePack form; all else must have one.
	if frame, err = MessagePack.Append(nil, &m); err != nil {
		return
	}
	_, size, err := readLength(frame)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = MessagePack.Decode(frame[size:]); err != nil || again.Type != m.Type || again.Target != m.Target || len(again.Arguments) != len(m.Arguments) {
		t.Fatalf("MessagePack of %+v came back as %+v, %v", m, again, err)
	}
}

func FuzzDecodeMsgpack(f *testing.F) {
	for _, g := range golden {
		b, err := MessagePack.Append(nil, &g.message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[1:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := MessagePack.Decode(b)
		if err != nil || !m.Type.Known() {
			return
		}
		roundTrip(t, m)
	})
}

// FuzzSplit checks that messages do not depend on how the stream was cut, and that
// nothing larger than the limit is kept or emitted.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("abc\x1edef\x1e"), uint8(2), false)
	f.Add([]byte{3, 1, 2, 3, 0x81, 1, 5}, uint8(1), true)
	f.Fuzz(func(t *testing.T, b []byte, step uint8, binary bool) {
		p := JSON
		if binary {
			p = MessagePack
		}
		const limit = 64
		split := func(step int) (out [][]byte, err error) {
			s := NewSplitter(p, limit)
			for in := b; len(in) > 0 && err == nil; {
				n := min(step, len(in))
				err = s.Feed(in[:n], func(body []byte) error {
					if len(body) > limit {
						t.Fatalf("body of %d bytes", len(body))
					}
					out = append(out, bytes.Clone(body))
					return nil
				})
				if in = in[n:]; len(s.pending) > limit+5 {
					t.Fatalf("keeps %d bytes", len(s.pending))
				}
			}
			return out, err
		}
		whole, err1 := split(len(b) + 1)
		parts, err2 := split(int(step)%16 + 1)
		if !reflect.DeepEqual(whole, parts) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("whole: %q, %v; in parts: %q, %v", whole, err1, parts, err2)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte(`{"protocol":"json","version":1}` + "\x1e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, _, ok, err := CutHandshake(b)
		if !ok || err != nil {
			return
		}
		if _, err := ParseHandshake(body); err == nil && !json.Valid(body) {
			t.Fatalf("ParseHandshake(%q) accepted what is not JSON", body)
		}
	})
}
