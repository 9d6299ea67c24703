package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/rest"
	"causeway/internal/secret"
	"causeway/internal/signalr"

	"github.com/tinylib/msgp/msgp"
)

func framed(t *testing.T, m map[string][]byte) string {
	t.Helper()
	b := msgp.AppendMapHeader(nil, uint32(len(m)))
	for name, frame := range m {
		b = msgp.AppendString(b, name)
		b = msgp.AppendBytes(b, frame)
	}
	return string(b)
}

func frame(t *testing.T, p signalr.Protocol, m signalr.Message) []byte {
	t.Helper()
	b, err := p.Append(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBodies has the bodies that SDKs and hand-written servers send (spec §4.3),
// and those that must be refused.
func TestBodies(t *testing.T) {
	invocation := signalr.Message{Type: signalr.Invocation, Target: "t", Arguments: []json.RawMessage{json.RawMessage("7")}}
	jsonFrame, binFrame := frame(t, signalr.JSON, invocation), frame(t, signalr.MessagePack, invocation)
	const octets = "application/octet-stream"
	for _, c := range []struct {
		name, kind, body string
		status           int
		notes            string
	}{
		{".NET SDK", "application/json; charset=utf-8", `{"Target":"t","Arguments":[{"A":1}]}`, 202, `send all: t[{"A":1}]`},
		{"any order, extra", "application/json", ` {"x":1, "ARGUMENTS":[ ],"tarGet":"t"} `, 202, `send all: t[]`},
		{"no type", "", `{"target":"t"}`, 202, `send all: t[]`},
		{"null arguments", "application/json", `{"target":"t","arguments":null}`, 202, `send all: t[]`},
		{"null argument", "application/json", `{"target":"t","arguments":[null,9007199254740993]}`, 202, `send all: t[null,9007199254740993]`},
		{"BOM", "application/json", "\xef\xbb\xbf" + `{"target":"t"}`, 202, `send all: t[]`},
		{"both protocols", octets, framed(t, map[string][]byte{"json": jsonFrame, "messagepack": binFrame}), 202, fmt.Sprintf("raw all: json=%q messagepack=%q", jsonFrame, binFrame)},
		{"one protocol", octets, framed(t, map[string][]byte{"messagepack": binFrame}), 202, fmt.Sprintf("raw all: messagepack=%q", binFrame)},
		{"unknown protocol too", octets, framed(t, map[string][]byte{"json": jsonFrame, "blazorpack": []byte("x")}), 202, fmt.Sprintf("raw all: json=%q", jsonFrame)},

		{"empty", "application/json", ``, 400, ""},
		{"no target", "application/json", `{"arguments":[]}`, 400, ""},
		{"empty target", "application/json", `{"target":""}`, 400, ""},
		{"target of another type", "application/json", `{"target":1}`, 400, ""},
		{"arguments of another type", "application/json", `{"target":"t","arguments":{}}`, 400, ""},
		{"array", "application/json", `[]`, 400, ""},
		{"null", "application/json", `null`, 400, ""},
		{"cut", "application/json", `{"target":"t"`, 400, ""},
		{"two", "application/json", `{"target":"t"}{}`, 400, ""},
		{"not UTF-8", "application/json", "{\"target\":\"t\",\"arguments\":[\"\xff\"]}", 400, ""},
		{"only unknown protocol", octets, framed(t, map[string][]byte{"blazorpack": jsonFrame}), 400, ""},
		{"empty map", octets, "\x80", 400, ""},
		{"no map", octets, "hello", 400, ""},
		{"bytes after", octets, framed(t, map[string][]byte{"json": jsonFrame}) + "x", 400, ""},
		{"no separator", octets, framed(t, map[string][]byte{"json": jsonFrame[:len(jsonFrame)-1]}), 400, ""},
		{"two messages", octets, framed(t, map[string][]byte{"json": append(jsonFrame[:len(jsonFrame):len(jsonFrame)], jsonFrame...)}), 400, ""},
		{"a ping", octets, framed(t, map[string][]byte{"messagepack": {2, 0x91, 6}}), 400, ""},
		{"a close", octets, framed(t, map[string][]byte{"json": []byte("{\"type\":7}\x1e")}), 400, ""},
		{"length too great", octets, framed(t, map[string][]byte{"messagepack": append([]byte{0x7f}, binFrame[1:]...)}), 400, ""},
		{"x-msgpack", "application/x-msgpack", "\x80", 501, ""},
		{"text", "text/plain", hello, 415, ""},
		{"malformed type", ";;", hello, 400, ""},
		{"large", "application/json", `{"target":"` + strings.Repeat("t", rest.DefaultMaxBody) + `"}`, 413, ""},
	} {
		f := newFake()
		w := do(t, handler(t, f, nil), "POST", "/api/hubs/chat/:send", c.body, "Content-Type", c.kind)
		if w.Code != c.status || f.notes() != c.notes {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	f := newFake()
	w := do(t, handler(t, plain{f}, nil), "POST", "/api/hubs/chat/:send", framed(t, map[string][]byte{"messagepack": binFrame}), "Content-Type", octets)
	if w.Code != 202 || f.notes() != "send all: t[7]" {
		t.Errorf("a service that takes no frames: %d %s", w.Code, w.Body)
	}
	if w := do(t, handler(t, f, nil), "POST", "/api/hubs/chat/:send", hello, "Content-Encoding", "gzip"); w.Code != 415 {
		t.Errorf("compressed: %d", w.Code)
	}
}

// TestChunkedUpload goes over a real connection: a body without a length is
// normal, and one beyond the limit is refused while it is read.
func TestChunkedUpload(t *testing.T) {
	f := newFake()
	server := httptest.NewServer(handler(t, f, func(cfg *rest.HandlerConfig) { cfg.MaxBody = 100 }))
	defer server.Close()
	for body, want := range map[string]int{hello: 202, `{"target":"` + strings.Repeat("t", 100) + `"}`: 413} {
		reader := struct{ *strings.Reader }{strings.NewReader(body)} // hides the length
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/hubs/chat", reader)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		token, err := accesskey.SignREST(secret.New("key"), r.URL.String())
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != want {
			t.Errorf("%d bytes: %d %v", len(body), res.StatusCode, err)
		}
	}
}
