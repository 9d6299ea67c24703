package signalr

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func raw(vs ...string) (out []json.RawMessage) {
	for _, v := range vs {
		out = append(out, json.RawMessage(v))
	}
	return out
}

// golden holds messages and their frames. The MessagePack frames are those of the
// HubProtocol specification's examples or follow from its tables.
var golden = []struct {
	name    string
	message Message
	json    string
	msgpack string // hex, with length prefix
}{
	{"ping", Message{Type: Ping}, `{"type":6}`, "02" + "9106"},
	{"send", Message{Type: Invocation, Target: "method", Arguments: raw("42")},
		`{"type":1,"target":"method","arguments":[42]}`,
		"0e" + "96" + "01" + "80" + "c0" + "a66d6574686f64" + "912a" + "90"},
	{"invoke", Message{Type: Invocation, InvocationID: "xyz", Target: "method", Arguments: raw("42")},
		`{"type":1,"invocationId":"xyz","target":"method","arguments":[42]}`,
		"11" + "96" + "01" + "80" + "a378797a" + "a66d6574686f64" + "912a" + "90"},
	{"headers and streams", Message{Type: StreamInvocation, InvocationID: "1", Target: "m", Headers: map[string]string{"a": "b"}, StreamIDs: []string{"7"}},
		`{"type":4,"headers":{"a":"b"},"invocationId":"1","target":"m","arguments":[],"streamIds":["7"]}`,
		"0f" + "96" + "04" + "81a161a162" + "a131" + "a16d" + "90" + "91a137"},
	{"item", Message{Type: StreamItem, InvocationID: "xyz", Value: json.RawMessage("42")},
		`{"type":2,"invocationId":"xyz","item":42}`, "08" + "94" + "02" + "80" + "a378797a" + "2a"},
	{"completion error", Message{Type: Completion, InvocationID: "xyz", Error: "Error"},
		`{"type":3,"invocationId":"xyz","error":"Error"}`, "0e" + "95" + "03" + "80" + "a378797a" + "01" + "a54572726f72"},
	{"completion void", Message{Type: Completion, InvocationID: "xyz"},
		`{"type":3,"invocationId":"xyz"}`, "08" + "94" + "03" + "80" + "a378797a" + "02"},
	{"completion value", Message{Type: Completion, InvocationID: "xyz", Value: json.RawMessage("42")},
		`{"type":3,"invocationId":"xyz","result":42}`, "09" + "95" + "03" + "80" + "a378797a" + "03" + "2a"},
	{"completion null", Message{Type: Completion, InvocationID: "xyz", Value: json.RawMessage("null")},
		`{"type":3,"invocationId":"xyz","result":null}`, "09" + "95" + "03" + "80" + "a378797a" + "03" + "c0"},
	{"cancel", Message{Type: CancelInvocation, InvocationID: "xyz"},
		`{"type":5,"invocationId":"xyz"}`, "07" + "93" + "05" + "80" + "a378797a"},
	{"close", Message{Type: Close}, `{"type":7}`, "04" + "93" + "07" + "c0" + "c2"},
	{"close for now", Message{Type: Close, Error: "xyz", AllowReconnect: true},
		`{"type":7,"error":"xyz","allowReconnect":true}`, "07" + "93" + "07" + "a378797a" + "c3"},
	{"ack", Message{Type: Ack, SequenceID: 5}, `{"type":8,"sequenceId":5}`, "03" + "92" + "08" + "05"},
	{"sequence", Message{Type: Sequence, SequenceID: 1 << 40}, `{"type":9,"sequenceId":1099511627776}`, "0b" + "92" + "09" + "cf0000010000000000"},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		for _, p := range Protocols() {
			want := g.json + "\x1e"
			if p == MessagePack {
				b, err := hex.DecodeString(g.msgpack)
				if err != nil {
					t.Fatal(g.name, err)
				}
				want = string(b)
			}
			got, err := p.Append([]byte("kept"), &g.message)
			if err != nil || string(got) != "kept"+want {
				t.Errorf("%s %s: Append = %q, %v; want %q", p, g.name, got, err, want)
			}
			var bodies [][]byte
			s := NewSplitter(p, 1000)
			if err := s.Feed([]byte(want), func(b []byte) error { bodies = append(bodies, bytes.Clone(b)); return nil }); err != nil || len(bodies) != 1 {
				t.Fatalf("%s %s: Feed: %v, %d bodies", p, g.name, err, len(bodies))
			}
			m, err := p.Decode(bodies[0])
			if err != nil || !reflect.DeepEqual(m, g.message) {
				t.Errorf("%s %s: Decode = %+v, %v; want %+v", p, g.name, m, err, g.message)
			}
			if h, err := p.Head(bodies[0]); err != nil || h != (Head{m.Type, m.InvocationID, m.Target}) {
				t.Errorf("%s %s: Head = %+v, %v", p, g.name, h, err)
			}
			if again := p.AppendFrame(nil, bodies[0]); string(again) != want {
				t.Errorf("%s %s: AppendFrame = %q", p, g.name, again)
			}
		}
	}
}

// TestCutAtEveryByte feeds all golden frames, cut in two and in three at every
// byte, and expects the same messages.
func TestCutAtEveryByte(t *testing.T) {
	for _, p := range Protocols() {
		var stream []byte
		var want []Message
		for _, g := range golden {
			var err error
			if stream, err = p.Append(stream, &g.message); err != nil {
				t.Fatal(err)
			}
			want = append(want, g.message)
		}
		long := Message{Type: Invocation, Target: "t", Arguments: raw(`"` + strings.Repeat("x", 300) + `"`)}
		stream, _ = p.Append(stream, &long)
		want = append(want, long)
		for i := range len(stream) {
			for _, j := range []int{i, min(i+1, len(stream)), len(stream) - (len(stream)-i)/2} {
				var got []Message
				s := NewSplitter(p, 400)
				for _, part := range [][]byte{stream[:i], stream[i:j], stream[j:]} {
					// A copy, so that what is kept of it shows.
					part = bytes.Clone(part)
					err := s.Feed(part, func(b []byte) error {
						m, err := p.Decode(bytes.Clone(b))
						got = append(got, m)
						return err
					})
					if err != nil {
						t.Fatalf("%s cut at %d, %d: %v", p, i, j, err)
					}
					clear(part)
				}
				if !reflect.DeepEqual(got, want) || s.Partial() {
					t.Fatalf("%s cut at %d, %d: got %d messages, partial %v", p, i, j, len(got), s.Partial())
				}
			}
		}
	}
}

func TestDecodeJSONVariants(t *testing.T) {
	call := Message{Type: Invocation, InvocationID: "0", Target: "m", Arguments: raw(`{"a":[1,2]}`, `"x"`)}
	for _, tt := range []struct {
		name, body string
		want       Message
	}{
		{"type last", `{"arguments":[{"a":[1,2]},"x"],"invocationId":"0","target":"m","type":1}`, call},
		{"spaces", ` { "type" : 1 , "target":"m","invocationId":"0", "arguments" : [ {"a":[1,2]} , "x" ] } `, call},
		{"unknown properties", `{"type":1,"later":{"deep":[{}]},"target":"m","invocationId":"0","arguments":[{"a":[1,2]},"x"]}`, call},
		{"last duplicate", `{"type":1,"target":"n","target":"m","invocationId":"0","arguments":[{"a":[1,2]},"x"]}`, call},
		{"escapes", `{"type":1,"target":"\u006d","invocationId":"0","arguments":[{"a":[1,2]},"x"]}`, call},
		{"null id", `{"type":1,"target":"m","invocationId":null,"arguments":null}`, Message{Type: Invocation, Target: "m"}},
		{"unknown type", `{"type":77,"target":5}`, Message{Type: 77}},
		{"ping with spaces", `{"type": 6}`, Message{Type: Ping}},
		{"error without text", `{"type":3,"invocationId":"1","error":""}`, Message{Type: Completion, InvocationID: "1", Error: noErrorText}},
		{"null error", `{"type":3,"invocationId":"1","error":null,"result":1}`, Message{Type: Completion, InvocationID: "1", Value: json.RawMessage("1")}},
	} {
		if m, err := JSON.Decode([]byte(tt.body)); err != nil || !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, m, err, tt.want)
		}
	}
	for _, body := range []string{``, `[]`, `6`, `{"type":6`, `{"type":6}x`, `{"type":"1"}`, `{"target":"m"}`, `{"type":1,"arguments":[]}`,
		`{"type":1,"target":5,"arguments":[]}`, `{"type":1,"target":"m","arguments":{}}`, `{"type":1,"target":"m","arguments":[1,]}`,
		`{"type":3,"invocationId":"1","error":"e","result":1}`, `{"type":3}`, `{"type":2,"invocationId":"1"}`, `{"type":8}`, `{"type":9,"sequenceId":-1}`,
		`{"type":1,"target":"m","headers":{"a":1}}`, "{\"type\":1,\"target\":\"\xff\"}", `{"type":1,"target":"m","streamIds":[1]}`,
		`{"type":1,"target":"m","arguments":[` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `]}`} {
		if m, err := JSON.Decode([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("Decode(%.60q) = %+v, %v", body, m, err)
		}
	}
}

func TestDecodeMsgpackVariants(t *testing.T) {
	for _, tt := range []struct {
		name, hex string
		want      Message
	}{
		{"no stream ids", "95018 0c0a16d90", Message{Type: Invocation, Target: "m"}},
		{"nil headers", "9601c0c0a16d9090", Message{Type: Invocation, Target: "m"}},
		{"close without anything", "9107", Message{Type: Close}},
		{"close with error only", "9207a178", Message{Type: Close, Error: "x"}},
		{"extra elements", "93069001", Message{Type: Ping}},
		{"unknown type", "924dc0", Message{Type: 77}},
		{"long forms", "dc000601 de0000 c0 d9016d dd00000000 90", Message{Type: Invocation, Target: "m"}},
	} {
		body, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := MessagePack.Decode(body); err != nil || !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, m, err, tt.want)
		}
	}
	for _, h := range []string{"", "90", "06", "91a0", "9601", "960180c0a16ddd7fffffff", "960180c0a1ff9090", "950380a13104c0", "940380c002", "92 08 ff", "910600", "9208cfffffffffffffffff",
		"930480c0", "950180c0a16d91c7", "96018 1a161c0"} {
		body, _ := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
		if m, err := MessagePack.Decode(body); !errors.Is(err, ErrMalformed) && h != "960181a161c0" {
			t.Errorf("Decode(%s) = %+v, %v", h, m, err)
		}
	}
}

func TestSplitterBounds(t *testing.T) {
	none := func([]byte) error { return nil }
	s := NewSplitter(JSON, 10)
	if err := s.Feed([]byte("0123456789\x1e0123456789"), none); err != nil {
		t.Fatal("at the limit:", err)
	}
	if err := s.Feed([]byte("x"), none); !errors.Is(err, ErrTooLarge) {
		t.Fatal("over the limit:", err)
	}
	s = NewSplitter(MessagePack, 10)
	if err := s.Feed([]byte{11}, none); !errors.Is(err, ErrTooLarge) {
		t.Fatal("announced over the limit:", err)
	}
	for _, prefix := range []string{"\xff\xff\xff\xff\x08", "\x80\x80\x80\x80\x80"} {
		s = NewSplitter(MessagePack, 1<<31)
		if err := s.Feed([]byte(prefix), none); !errors.Is(err, ErrMalformed) {
			t.Fatalf("prefix %x: %v", prefix, err)
		}
	}
	stop := errors.New("stop")
	s = NewSplitter(JSON, 10)
	if err := s.Feed([]byte("a\x1eb\x1e"), func([]byte) error { return stop }); err != stop {
		t.Fatal("emit's error:", err)
	}
}

func TestHandshake(t *testing.T) {
	frame := AppendHandshake(nil, Handshake{"messagepack", 2})
	if string(frame) != `{"protocol":"messagepack","version":2}`+"\x1e" {
		t.Fatalf("%q", frame)
	}
	for i := range frame {
		if _, _, ok, err := CutHandshake(frame[:i]); ok || err != nil {
			t.Fatalf("cut at %d: %v %v", i, ok, err)
		}
	}
	body, rest, ok, err := CutHandshake(append(frame, "next"...))
	if !ok || err != nil || string(rest) != "next" {
		t.Fatal(ok, err, rest)
	}
	if h, err := ParseHandshake(body); err != nil || h != (Handshake{"messagepack", 2}) {
		t.Fatal(h, err)
	}
	for _, bad := range []string{``, `{}`, `{"protocol":"json"}`, `{"version":1}`, `{"protocol":1,"version":1}`, `{"protocol":"json","version":"1"}`, `[]`, `{"protocol":"json","version":1}x`} {
		if h, err := ParseHandshake([]byte(bad)); err == nil {
			t.Errorf("ParseHandshake(%q) = %v", bad, h)
		}
	}
	if _, _, _, err := CutHandshake(make([]byte, 5000)); !errors.Is(err, ErrTooLarge) {
		t.Error("endless handshake:", err)
	}
	for _, text := range []string{"", "no \"such\" protocol"} {
		frame := AppendHandshakeReply(nil, text)
		if got, err := ParseHandshakeReply(frame[:len(frame)-1]); err != nil || got != text {
			t.Errorf("reply %q: %q, %v", frame, got, err)
		}
	}
	if _, err := ParseHandshakeReply([]byte(`{"type":6}`)); err == nil {
		t.Error("a message passed for a handshake reply")
	}
}

func TestConvert(t *testing.T) {
	for _, tt := range []struct{ json, hex, back string }{
		{`null`, "c0", `null`}, {`true`, "c3", `true`}, {`[]`, "90", `[]`}, {`{}`, "80", `{}`},
		{`127`, "7f", `127`}, {`-32`, "e0", `-32`}, {`-33`, "d0df", `-33`},
		{`9007199254740993`, "cf0020000000000001", `9007199254740993`}, // 2^53+1, which float64 can't hold
		{`-9223372036854775808`, "d38000000000000000", `-9223372036854775808`},
		{`18446744073709551615`, "cfffffffffffffffff", `18446744073709551615`},
		{`1.5`, "cb3ff8000000000000", `1.5`}, {`1.0`, "cb3ff0000000000000", `1`}, {`1e2`, "cb4059000000000000", `100`},
		{`"2026-01-02T03:04:05Z"`, "b4323032362d30312d30325430333a30343a30355a", `"2026-01-02T03:04:05Z"`},
		{`{"a":[1,{"b":"\u00e9"}]}`, "81a1619201" + "81a162a2c3a9", `{"a":[1,{"b":"é"}]}`},
		{` [ 1 , 2 ] `, "920102", `[1,2]`},
	} {
		got, err := FromJSON(nil, json.RawMessage(tt.json))
		if err != nil || hex.EncodeToString(got) != tt.hex && tt.json != `9007199254740993` {
			t.Errorf("FromJSON(%s) = %x, %v; want %s", tt.json, got, err, tt.hex)
		}
		back, err := ToJSON(nil, got)
		if err != nil || string(back) != tt.back {
			t.Errorf("ToJSON(%x) = %s, %v; want %s", got, back, err, tt.back)
		}
	}
	for _, tt := range []struct{ hex, json string }{
		{"c403010203", `"AQID"`}, {"d6ff00000000", `"1970-01-01T00:00:00Z"`}, {"cb7ff8000000000000", `null`}, {"ca3fc00000", `1.5`},
		{"8101c3", `{"1":true}`}, {"81c0c3", `{"null":true}`}, {"a1ff", `"\ufffd"`},
	} {
		b, _ := hex.DecodeString(tt.hex)
		if got, err := ToJSON(nil, b); err != nil || string(got) != tt.json {
			t.Errorf("ToJSON(%s) = %s, %v; want %s", tt.hex, got, err, tt.json)
		}
	}
	for _, n := range []int{15, 16, 70000} {
		in := "[" + strings.TrimSuffix(strings.Repeat("7,", n), ",") + "]"
		b, err := FromJSON([]byte("p"), json.RawMessage(in))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := ToJSON(nil, b[1:]); err != nil || string(out) != in {
			t.Errorf("array of %d: %v", n, err)
		}
	}
	deep, _ := hex.DecodeString(strings.Repeat("91", 400) + "c0")
	for _, b := range [][]byte{deep, {0xd4, 5, 0}, {0x81, 0x90, 0xc0}, {0xc1}, {0xc0, 0xc0}, {0xdd, 0x7f, 0, 0, 0}} {
		if out, err := ToJSON(nil, b); !errors.Is(err, ErrMalformed) {
			t.Errorf("ToJSON(%x) = %s, %v", b[:min(8, len(b))], out, err)
		}
	}
	for _, v := range []string{`{`, `1e999`, "\"\xff\"", `1 2`} {
		if out, err := FromJSON(nil, json.RawMessage(v)); err == nil {
			t.Errorf("FromJSON(%s) = %x", v, out)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, m := range []Message{{}, {Type: 77}, {Type: Invocation}, {Type: StreamInvocation, Target: "m"}, {Type: Completion}, {Type: StreamItem, InvocationID: "1"},
		{Type: Completion, InvocationID: "1", Error: "e", Value: json.RawMessage("1")},
		{Type: Invocation, Target: "m", Arguments: raw("1", `{"a":`)}, {Type: Invocation, Target: "m", Arguments: raw("\"\x1e\"")}} {
		for _, p := range Protocols() {
			if b, err := p.Append([]byte("x"), &m); err == nil || string(b) != "x" {
				t.Errorf("%s: Append(%+v) = %q, %v", p, m, b, err)
			}
		}
	}
}
