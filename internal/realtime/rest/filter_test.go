package rest

import (
	"strings"
	"testing"

	"causeway/internal/realtime"
)

func TestFilter(t *testing.T) {
	ann := realtime.ConnectionInfo{ConnectionID: "c-1", UserID: "ann's"}
	for text, want := range map[string]bool{
		"": true, "  ": true,
		"userId eq 'ann''s'":                                          true,
		"userId ne 'ann''s'":                                          false,
		"startswith(userId, 'an')":                                    true,
		"StartsWith( userId ,'An')":                                   false,
		"endswith(connectionId,'-1')":                                 true,
		"contains(userId,'n''s')":                                     true,
		"not contains(userId,'x')":                                    true,
		"not not (userId eq null)":                                    false,
		"userId eq 'x' or connectionId eq 'c-1'":                      true,
		"userId eq 'x' and connectionId eq 'c-1' or userId ne null":   true,
		"userId eq 'x' and (connectionId eq 'c-1' or userId ne null)": false,
		"userId eq 'and'":                                             false,
		"not userId eq 'x' and connectionId eq 'c-1'":                 true,
	} {
		meant, err := parseFilter(text)
		if err != nil || meant(ann) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"userId", "userId eq", "userId eq x", "eq 'x'", "userId gt 'x'", "hub eq 'x'", "'x' eq userId", "userId eq 'x", "(userId eq 'x'", "userId eq 'x')",
		"startswith userId", "startswith(userId)", "startswith(userId,", "startswith('x','y')", "'g' in groups", "userId eq 'x' and", "not", "userId eq 'x' userId",
		"length(userId) eq 3", strings.Repeat("(", 40) + "userId eq 'x'" + strings.Repeat(")", 40), strings.Repeat("not ", 40) + "userId eq 'x'", strings.Repeat(" ", 4090) + "userId eq 'x'",
	} {
		if _, err := parseFilter(text); err == nil {
			t.Errorf("%.40s was accepted", text)
		} else if status := err.(*problem).status; status != 400 {
			t.Errorf("%s: %d", text, status)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("startswith(userId, 'listener-') and not (connectionId eq 'x' or userId eq null)")
	f.Add("contains(userId,'''')")
	f.Fuzz(func(t *testing.T, text string) {
		meant, err := parseFilter(text)
		if (meant == nil) == (err == nil) {
			t.Fatal("neither a filter nor an error, or both")
		}
		if err == nil {
			meant(realtime.ConnectionInfo{ConnectionID: "a", UserID: "b"})
		}
	})
}

func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"target":"t","arguments":[1,null,"x"]}`))
	f.Add([]byte(`[{"type":"SendMessage","message":{"target":"t"}},{"type":"JoinGroup","group":"g"}]`))
	f.Add([]byte("\x81\xa4json\xc4\x1d{\"type\":1,\"target\":\"t\",\"arguments\":[]}\x1e"))
	f.Add([]byte("\x81\xabmessagepack\xc4\x08\x07\x95\x01\x80\xc0\xa1t\x90"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := decodeMessage(body); err == nil && (m.Target == "" || m.Arguments == nil) {
			t.Fatal("a message without a target")
		}
		if p, err := decodeFramed(body); err == nil {
			if p.message.Target == "" || len(p.framed) == 0 {
				t.Fatal("frames without a message")
			}
		}
		if c, err := decodeCommands(body); err == nil && (len(c) == 0 || len(c) > maxCommands) {
			t.Fatal("a wrong number of commands")
		}
	})
}
