//go:build linux

package load

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// unmasked reads what a client sent, as a server would.
func unmasked(t *testing.T, b []byte) (op ws.OpCode, payload string) {
	t.Helper()
	r := bytes.NewReader(b)
	h, err := ws.ReadHeader(r)
	if err != nil || int64(r.Len()) != h.Length || !h.Masked || !h.Fin {
		t.Fatalf("frame: %v, %d bytes left, %+v", err, r.Len(), h)
	}
	text := bytes.Clone(b[len(b)-r.Len():])
	ws.Cipher(text, h.Mask, 0)
	return h.OpCode, string(text)
}

func TestSignalRMessages(t *testing.T) {
	d := &SignalR{}
	from, to := &Conn{Index: 27, ID: "me"}, &Conn{Index: 3, ID: "you"}
	p := newPayload(40)
	stamp(p, 0xABC)
	text := string(p)
	if !strings.HasPrefix(text, "~0000000000000abc~") || len(text) != 40 {
		t.Fatalf("payload %q", text)
	}
	for kind, want := range map[Kind]string{
		Echo:      `{"type":1,"target":"echo","arguments":["` + text + `"]}` + rs,
		Send:      `{"type":1,"target":"send","arguments":["you","` + text + `"]}` + rs,
		Join:      `{"type":1,"target":"join","arguments":["g2"]}` + rs,
		Group:     `{"type":1,"target":"group","arguments":["g2","` + text + `"]}` + rs,
		Broadcast: `{"type":1,"target":"broadcast","arguments":["` + text + `"]}` + rs,
	} {
		got := d.Append([]byte("before"), from, kind, to, p)
		rest, ok := bytes.CutPrefix(got, []byte("before"))
		op, payload := unmasked(t, rest)
		if !ok || op != ws.OpText || payload != want {
			t.Errorf("%d: %v %q", kind, op, payload)
		}
	}
}

func TestMaskedLengths(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 2048, 65535} {
		want := strings.Repeat("x", n)
		_, got := unmasked(t, masked(nil, ws.OpText, func(b []byte) []byte { return append(b, want...) }))
		if got != want {
			t.Errorf("%d bytes became %d", n, len(got))
		}
	}
}

func TestFrameCutEverywhere(t *testing.T) {
	var wire []byte
	for _, f := range []ws.Frame{
		ws.NewTextFrame([]byte("{}" + rs)), ws.NewPingFrame([]byte("p")), ws.NewTextFrame(bytes.Repeat([]byte("y"), 3000)), ws.NewPongFrame(nil),
	} {
		b, err := ws.CompileFrame(f)
		if err != nil {
			t.Fatal(err)
		}
		wire = append(wire, b...)
	}
	for cut := range wire {
		var messages []string
		pongs := 0
		read := func(in []byte) (left int) {
			for {
				m, size, reply, err := frame(in)
				if err != nil {
					t.Fatal(err)
				}
				if size == 0 {
					return len(in)
				}
				in = in[size:]
				if len(m) > 0 {
					messages = append(messages, string(m))
				}
				if len(reply) > 0 {
					if op, payload := unmasked(t, reply); op != ws.OpPong || payload != "p" {
						t.Fatalf("reply %v %q", op, payload)
					}
					pongs++
				}
			}
		}
		left := read(wire[:cut])
		left = read(wire[cut-left:])
		if len(messages) != 2 || messages[0] != "{}"+rs || len(messages[1]) != 3000 || pongs != 1 || left != 0 {
			t.Fatalf("cut at %d: %d messages, %d pongs, %d bytes left", cut, len(messages), pongs, left)
		}
	}
	for _, bad := range [][]byte{
		ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))),
		ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("x")))),
		{0x83, 0}, {0x81, 127},
	} {
		if _, _, _, err := frame(bad); err == nil {
			t.Errorf("% x passes", bad)
		}
	}
}

func TestResponse(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 5\r\n\r\nhello"
	for cut := range len(whole) {
		if _, _, size, err := response([]byte(whole[:cut])); size != 0 || err != nil {
			t.Fatalf("cut at %d: %d, %v", cut, size, err)
		}
	}
	if status, body, size, err := response([]byte(whole + "more")); status != 200 || string(body) != "hello" || size != len(whole) || err != nil {
		t.Errorf("%d %q %d %v", status, body, size, err)
	}
	if size, err := upgraded([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81")); size != 56 || err != nil {
		t.Errorf("%d %v", size, err)
	}
	for _, bad := range []string{
		"HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", strings.Repeat("x", 20<<10),
	} {
		if _, _, size, err := response([]byte(bad)); err == nil {
			t.Errorf("%.40q passes: %d", bad, size)
		}
	}
	if _, err := upgraded([]byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")); err == nil {
		t.Error("401 upgrades")
	}
}

func TestREST(t *testing.T) {
	d := &REST{Host: "h", Hub: "echo", Token: func(path string) (string, error) { return "T" + path, nil }}
	from, to := &Conn{}, &Conn{ID: "you"}
	if err := d.Sign([]*Conn{to}); err != nil {
		t.Fatal(err)
	}
	got := string(d.Append(nil, from, Send, to, newPayload(18)))
	want := "POST /api/hubs/echo/connections/you/:send?api-version=2022-06-01 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" +
		"Authorization: Bearer T/api/hubs/echo/connections/you/:send\r\nContent-Length: 55\r\n\r\n" +
		`{"target":"message","arguments":["~0000000000000000~"]}`
	if got != want || !from.busy {
		t.Errorf("%q", got)
	}
	if _, size, _, err := d.Next(from, []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")); size == 0 || err != nil || from.busy {
		t.Errorf("202: %d %v", size, err)
	}
	if _, _, _, err := d.Next(from, []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")); err == nil {
		t.Error("404 passes")
	}
}

func TestStamps(t *testing.T) {
	b := []byte("x~0000000000000001~y~00000000000000ff~~")
	due, rest, ok := cutStamp(b)
	if due != 1 || !ok {
		t.Fatal(due, ok)
	}
	if due, rest, ok = cutStamp(rest); due != 255 || !ok || string(rest) != "~" {
		t.Errorf("%d %q %v", due, rest, ok)
	}
	for _, bad := range []string{"", "~", "~000000000000000g~", "~0000000000000001 ", strings.Repeat("a", 40)} {
		if _, _, ok := cutStamp([]byte(bad)); ok {
			t.Errorf("%q is a stamp", bad)
		}
	}
}
