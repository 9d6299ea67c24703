package replay

import (
	"errors"
	"testing"

	"causeway/internal/realtime/hub/frame"
	"causeway/internal/signalr"
)

func message(t *testing.T, text string) *frame.Frame {
	t.Helper()
	f, err := frame.New(signalr.JSON, &signalr.Message{Type: signalr.Invocation, Target: text})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestToClient: what is not acknowledged is replayed, after the id of its first.
func TestToClient(t *testing.T) {
	var l Log
	for _, text := range []string{"a", "b", "c"} {
		if !l.Keep(message(t, text), 1000) {
			t.Fatal("over the limit")
		}
	}
	if process, err := l.Received(signalr.JSON, []byte(`{"type":8,"sequenceId":2}`)); process || err != nil {
		t.Fatal(process, err)
	}
	l.Detach()
	all, err := l.Replay(signalr.JSON)
	if err != nil || len(all) != 2 || string(all[0].Payload()) != `{"type":9,"sequenceId":3}`+"\x1e" || string(all[1].Payload()) != string(message(t, "c").Payload()) {
		t.Fatalf("replay %v, %v", all, err)
	}
	if l.Keep(message(t, "d"), 10) {
		t.Error("within a limit of 10 bytes")
	}
}

// TestFromClient: each counted message is processed once, whatever is replayed.
func TestFromClient(t *testing.T) {
	const call, ping = `{"type":1,"target":"t","arguments":[]}`, `{"type":6}`
	var l Log
	for i, step := range []struct {
		body    string
		process bool
		detach  bool // before it
	}{
		{body: call, process: true},
		{body: ping, process: true},
		{body: call, process: true},
		{body: call, detach: true}, // before the Sequence
		{body: `{"type":9,"sequenceId":2}`},
		{body: call}, // the second again
		{body: call, process: true},
		{body: `{"type":7}`, process: true, detach: true},
	} {
		if step.detach {
			l.Detach()
		}
		process, err := l.Received(signalr.JSON, []byte(step.body))
		if process != step.process || err != nil {
			t.Errorf("step %d: process %v, %v", i, process, err)
		}
	}
	if f := l.Acknowledgment(signalr.JSON); f == nil || string(f.Payload()) != `{"type":8,"sequenceId":3}`+"\x1e" {
		t.Errorf("acknowledgment %v", f)
	}
	if l.Acknowledgment(signalr.JSON) != nil {
		t.Error("acknowledged twice")
	}
	for _, id := range []string{"0", "5"} {
		if _, err := l.Received(signalr.JSON, []byte(`{"type":9,"sequenceId":`+id+`}`)); !errors.Is(err, ErrSequence) {
			t.Errorf("sequence %s: %v", id, err)
		}
	}
}
