package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"causeway/internal/realtime"
)

// recorder notes calls of the data plane.
type recorder struct {
	realtime.Service
	calls []string
}

func (r *recorder) Send(_ context.Context, to realtime.Recipient, m realtime.Message) error {
	args, err := json.Marshal(m.Arguments)
	r.calls = append(r.calls, fmt.Sprintf("send %d %s %s %s", to.Kind, to.ID, m.Target, args))
	return err
}

func (r *recorder) JoinGroup(_ context.Context, group, id string) error {
	r.calls = append(r.calls, fmt.Sprintf("join %s %s", group, id))
	return nil
}

func TestInvoked(t *testing.T) {
	for _, tc := range []struct {
		target, arguments, call, code string
	}{
		{target: "echo", arguments: `["a",{"b":1}]`, call: `send 3 me echo ["a",{"b":1}]`},
		{target: "echo", arguments: `[]`, call: `send 3 me echo []`},
		{target: "send", arguments: `["you","p"]`, call: `send 3 you message ["p"]`},
		{target: "join", arguments: `["g"]`, call: `join g me`},
		{target: "join", arguments: `["\u0067\"" ]`, call: `join g" me`},
		{target: "group", arguments: `["g",[1,2]]`, call: `send 1 g message [[1,2]]`},
		{target: "broadcast", arguments: `[null]`, call: `send 0  message [null]`},
		{target: "send", arguments: `["you"]`, code: "bad_arguments"},
		{target: "send", arguments: `[7,"p"]`, code: "bad_arguments"},
		{target: "join", arguments: `[""]`, code: "bad_arguments"},
		{target: "join", arguments: `["g","h"]`, code: "bad_arguments"},
		{target: "group", arguments: `["","p"]`, code: "bad_arguments"},
		{target: "broadcast", arguments: `["a","b"]`, code: "bad_arguments"},
		{target: "Echo", arguments: `["a"]`, code: "no_such_target"},
	} {
		t.Run(tc.target+tc.arguments, func(t *testing.T) {
			r := &recorder{}
			h := &Handler{Service: r}
			m := realtime.Message{Target: tc.target}
			if err := json.Unmarshal([]byte(tc.arguments), &m.Arguments); err != nil {
				t.Fatal(err)
			}
			result, err := h.Invoked(t.Context(), realtime.Connection{ID: "me", Hub: Hub}, m)
			if result != nil {
				t.Errorf("result %s", result)
			}
			if tc.code != "" {
				var e *realtime.Error
				if !errors.As(err, &e) || e.Code != tc.code {
					t.Errorf("err = %v, want %s", err, tc.code)
				}
				if len(r.calls) > 0 {
					t.Errorf("calls %q", r.calls)
				}
				return
			}
			if err != nil || len(r.calls) != 1 || r.calls[0] != tc.call {
				t.Errorf("err = %v, calls %q, want %q", err, r.calls, tc.call)
			}
		})
	}
}

var _ realtime.Handler = (*Handler)(nil)
