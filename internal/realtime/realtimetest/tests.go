package realtimetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/signalr"
)

func testInvocations(w *world) {
	for range 2 { // once per protocol
		c := w.connect("ann", nil, Options{})
		w.turn++
		for _, arg := range []string{`"text"`, `null`, `9007199254740993`, `[1,{"a":[]}]`, `"2026-01-02T03:04:05Z"`, `1.5`} {
			got, err := c.Invoke(w.ctx, "echo", json.RawMessage(arg))
			if err != nil || string(got) != arg {
				w.Errorf("echo %s: %s, %v", arg, got, err)
			}
		}
		long := `"` + strings.Repeat("x", 100_000) + `"`
		if got, err := c.Invoke(w.ctx, "echo", json.RawMessage(long)); err != nil || string(got) != long {
			w.Errorf("long echo: %d bytes, %v", len(got), err)
		}
		if got, err := c.Invoke(w.ctx, "void"); err != nil || got != nil {
			w.Errorf("void: %s, %v", got, err)
		}
		if _, err := c.Invoke(w.ctx, "fail"); err == nil || err.Error() != "no: it does not work" {
			w.Errorf("an error for the client: %v", err)
		}
		if _, err := c.Invoke(w.ctx, "secret"); err == nil || strings.Contains(err.Error(), "swordfish") {
			w.Errorf("an error that is not for the client: %v", err)
		}
		w.must(c.Send("note", 1, "two"))
		w.app.wait(w, "invoked "+c.ID+` note 1 "two"`)
	}
}

func testRecipients(w *world) {
	a1, a2, b := w.connect("ann", nil, Options{}), w.connect("ann", nil, Options{}), w.connect("bob/ü ", nil, Options{})
	w.must(w.service().Send(w.ctx, realtime.User("ann"), w.message("to", "ann")))
	w.expect(a1, `to "ann"`)
	w.expect(a2, `to "ann"`)
	w.must(w.service().Send(w.ctx, realtime.User("bob/ü "), w.message("to", "bob")))
	w.expect(b, `to "bob"`)
	w.must(w.service().Send(w.ctx, realtime.ToConnection(a2.ID), w.message("to", map[string]int{"a": 2})))
	w.expect(a2, `to {"a":2}`)
	w.must(w.service().Send(w.ctx, realtime.All(), w.message("all")))
	for _, c := range []*Client{a1, a2, b} {
		w.expect(c, "all")
	}
	w.must(w.service().Send(w.ctx, realtime.All(a1.ID, b.ID), w.message("most")))
	w.expect(a2, "most")
	for _, c := range []*Client{a1, a2, b} {
		w.silent(c)
	}
}

func testGroups(w *world) {
	a, b, c := w.connect("ann", nil, Options{}), w.connect("bob", nil, Options{}), w.connect("", nil, Options{})
	const group = "a group/ü?"
	for _, m := range []*Client{a, b, a} { // joining twice is joining once
		w.must(w.service().JoinGroup(w.ctx, group, m.ID))
	}
	w.must(w.service().JoinGroup(w.ctx, "other", c.ID))
	w.must(w.service().Send(w.ctx, realtime.Group(group), w.message("hello")))
	w.expect(a, "hello")
	w.expect(b, "hello")
	w.must(w.service().Send(w.ctx, realtime.Group(group, a.ID), w.message("not a")))
	w.expect(b, "not a")
	w.must(w.service().LeaveGroup(w.ctx, group, b.ID))
	w.must(w.service().Send(w.ctx, realtime.Group(group), w.message("again")))
	w.expect(a, "again")
	for _, m := range []*Client{a, b, c} {
		w.silent(m)
	}
	// Membership ends with the connection.
	a.Close()
	w.app.wait(w, "disconnected "+a.ID)
	w.must(w.service().Send(w.ctx, realtime.Group(group), w.message("to nobody")))
	w.silent(b)
}

func testClose(w *world) {
	a, b := w.connect("", nil, Options{}), w.connect("", nil, Options{})
	w.must(w.service().CloseConnection(w.ctx, a.ID, "go away"))
	m, code, err := a.Ended(w.ctx)
	if err != nil || m == nil || m.Error != "go away" || !m.AllowReconnect || code != 1000 {
		w.Errorf("closed by the application: %+v, code %d, %v", m, code, err)
	}
	w.app.wait(w, "disconnected "+a.ID)
	if err := w.service().CloseConnection(w.ctx, a.ID, ""); !errors.Is(err, realtime.ErrNoConnection) {
		w.Errorf("closing what is closed: %v", err)
	}
	b.Close()
	if got := w.app.wait(w, "disconnected "+b.ID); got != "disconnected "+b.ID+" " {
		w.Errorf("a clean end has no reason: %q", got)
	}
	c := w.connect("", nil, Options{})
	c.Cut()
	w.app.wait(w, "disconnected "+c.ID)
}

func testClaims(w *world) {
	custom := map[string]string{"role": "host", "exp": "mine", "asrs.s.uid": "someone", "nameid": "other", "sub": "third", "text": "ü, :;"}
	c := w.connect("ann", custom, Options{})
	got := w.app.connection(c.ID)
	if got.User != "ann" || got.Hub != "chat" {
		w.Errorf("connection is %+v", got)
	}
	for name, v := range custom {
		if got.Claims[name] != v {
			w.Errorf("claim %s is %q, want %q", name, got.Claims[name], v)
		}
	}
	d := w.connect("", custom, Options{})
	if got := w.app.connection(d.ID); got.User != "" {
		w.Errorf("a custom claim became the user %q", got.User)
	}
}

func testOrder(w *world) {
	c := w.connect("", nil, Options{})
	const n = 100
	want := []string{"connected"}
	var batch []signalr.Message
	for i := range n {
		batch = append(batch, signalr.Message{Type: signalr.Invocation, Target: "note", Arguments: []json.RawMessage{json.RawMessage(fmt.Sprint(i))}})
		want = append(want, fmt.Sprintf("invoked note %d", i))
	}
	for part := range slices.Chunk(batch, 7) {
		w.must(c.Write(part...))
	}
	if _, err := c.Invoke(w.ctx, "void"); err != nil {
		w.Fatal(err)
	}
	c.Close()
	w.app.wait(w, "disconnected "+c.ID)
	want = append(want, "invoked void", "disconnected ")
	if got := w.app.about(c.ID); !slices.Equal(got, want) {
		w.Errorf("calls were %q", got)
	}
}

func testUnknown(w *world) {
	s := w.service()
	m := w.message("x")
	for _, to := range []realtime.Recipient{realtime.All(), realtime.Group("nobody"), realtime.User("nobody"), realtime.ToConnection("nobody")} {
		if err := s.Send(w.ctx, to, m); err != nil && (to.Kind != realtime.KindConnection || !errors.Is(err, realtime.ErrNoConnection)) {
			w.Errorf("send to nobody: %v", err)
		}
	}
	if err := s.JoinGroup(w.ctx, "g", "nobody"); !errors.Is(err, realtime.ErrNoConnection) {
		w.Errorf("join: %v", err)
	}
	if err := s.LeaveGroup(w.ctx, "g", "nobody"); err != nil {
		w.Errorf("leave: %v", err)
	}
	if err := s.CloseConnection(w.ctx, "nobody", ""); !errors.Is(err, realtime.ErrNoConnection) {
		w.Errorf("close: %v", err)
	}
}

func testPresence(w *world) {
	if _, ok := w.service().(realtime.Presence); !ok {
		return // optional
	}
	presence := func() realtime.Presence { return w.service().(realtime.Presence) }
	ids := map[string]string{}
	var clients []*Client
	for i := range 7 {
		user := []string{"ann", "bob", ""}[i%3]
		c := w.connect(user, nil, Options{})
		clients = append(clients, c)
		ids[c.ID] = user
		w.must(w.service().JoinGroup(w.ctx, "g", c.ID))
	}
	first := clients[0].ID
	for _, tt := range []struct {
		who        realtime.Recipient
		n, users   int
		existsToo  bool
		countsOnly bool
	}{
		{who: realtime.All(), n: 7, users: 2}, {who: realtime.Group("g"), n: 7, users: 2}, {who: realtime.User("ann"), n: 3, users: 1},
		{who: realtime.ToConnection(first), n: 1, users: 1}, {who: realtime.User("eve")}, {who: realtime.Group("h")}, {who: realtime.ToConnection("x")},
	} {
		for range w.Services {
			p := presence()
			if ok, err := p.Exists(w.ctx, tt.who); err != nil || ok != (tt.n > 0) {
				w.Errorf("exists %+v: %v, %v", tt.who, ok, err)
			}
			if n, users, err := p.Count(w.ctx, tt.who); err != nil || n != tt.n || users != tt.users {
				w.Errorf("count %+v: %d, %d, %v; want %d, %d", tt.who, n, users, err, tt.n, tt.users)
			}
		}
	}
	got := map[string]string{}
	after := ""
	for range 10 {
		page, next, err := presence().Connections(w.ctx, realtime.Group("g"), after, 3)
		w.must(err)
		if len(page) > 3 || !slices.IsSortedFunc(page, func(a, b realtime.ConnectionInfo) int { return strings.Compare(a.ConnectionID, b.ConnectionID) }) {
			w.Errorf("page %v", page)
		}
		for _, c := range page {
			got[c.ConnectionID] = c.UserID
		}
		if after = next; next == "" {
			break
		}
	}
	if !maps.Equal(got, ids) {
		w.Errorf("listed %v, want %v", got, ids)
	}
	clients[0].Close()
	w.app.wait(w, "disconnected "+first)
	for range w.Services {
		if ok, err := presence().Exists(w.ctx, realtime.ToConnection(first)); err != nil || ok {
			w.Errorf("exists after its end: %v, %v", ok, err)
		}
		if n, _, err := presence().Count(w.ctx, realtime.Group("g")); err != nil || n != 6 {
			w.Errorf("count after the end of one: %d, %v", n, err)
		}
	}
}

func testUserGroups(w *world) {
	if _, ok := w.service().(realtime.UserGroups); !ok {
		return // optional
	}
	groups := func() realtime.UserGroups { return w.service().(realtime.UserGroups) }
	isIn := func(group, user string, want bool) {
		w.Helper()
		for range w.Services {
			if got, err := groups().UserInGroup(w.ctx, group, user); err != nil || got != want {
				w.Errorf("%s in %s: %v, %v", user, group, got, err)
			}
		}
	}
	a := w.connect("ann", nil, Options{})
	w.must(groups().AddUserToGroup(w.ctx, "lasting", "ann", -1))
	w.must(groups().AddUserToGroup(w.ctx, "hour", "ann", time.Hour))
	w.must(groups().AddUserToGroup(w.ctx, "now", "ann", 0))
	w.must(groups().AddUserToGroup(w.ctx, "lasting", "absent", time.Hour))
	isIn("lasting", "ann", true)
	isIn("hour", "ann", true)
	isIn("lasting", "absent", true)
	isIn("lasting", "eve", false)
	b := w.connect("ann", nil, Options{}) // joins what lasts
	for _, g := range []string{"lasting", "hour"} {
		w.must(w.service().Send(w.ctx, realtime.Group(g), w.message(g)))
		w.expect(a, g)
		w.expect(b, g)
	}
	w.must(w.service().Send(w.ctx, realtime.Group("now"), w.message("now")))
	w.expect(a, "now")
	w.silent(b)
	w.must(groups().RemoveUserFromGroup(w.ctx, "hour", "ann"))
	isIn("hour", "ann", false)
	w.must(w.service().Send(w.ctx, realtime.Group("hour"), w.message("x")))
	w.silent(a)
	w.must(groups().LeaveAllGroups(w.ctx, b.ID))
	w.must(w.service().Send(w.ctx, realtime.Group("lasting"), w.message("one left")))
	w.expect(a, "one left")
	w.silent(b)
	w.must(groups().RemoveUserFromAllGroups(w.ctx, "ann"))
	isIn("lasting", "ann", false)
	for _, g := range []string{"lasting", "now"} {
		w.must(w.service().Send(w.ctx, realtime.Group(g), w.message("x")))
	}
	w.silent(a)
	w.must(groups().RemoveUserFromGroup(w.ctx, "unknown", "unknown"))
	w.must(groups().LeaveAllGroups(w.ctx, "unknown"))
}

func testCloseMany(w *world) {
	if _, ok := w.service().(realtime.Closer); !ok {
		return // optional
	}
	closer := func() realtime.Closer { return w.service().(realtime.Closer) }
	var cs []*Client
	for i := range 6 {
		c := w.connect([]string{"ann", "bob"}[i%2], nil, Options{})
		if i < 4 {
			w.must(w.service().JoinGroup(w.ctx, "g", c.ID))
		}
		cs = append(cs, c)
	}
	ended := func(is ...int) {
		w.Helper()
		for _, i := range is {
			if m, _, err := cs[i].Ended(w.ctx); err != nil || m == nil || m.Error != "bye" {
				w.Errorf("client %d: %+v, %v", i, m, err)
			}
		}
	}
	w.must(closer().CloseConnections(w.ctx, realtime.Group("g", cs[0].ID, cs[3].ID), "bye"))
	ended(1, 2)
	w.silent(cs[0])
	w.must(closer().CloseConnections(w.ctx, realtime.User("ann"), "bye"))
	ended(0, 4)
	w.silent(cs[3])
	w.must(closer().CloseConnections(w.ctx, realtime.All(cs[5].ID), "bye"))
	ended(3)
	w.silent(cs[5])
	w.must(closer().CloseConnections(w.ctx, realtime.All(), "bye"))
	ended(5)
}

func testClientResults(w *world) {
	if _, ok := w.service().(realtime.Invoker); !ok {
		return // optional
	}
	invoker := func() realtime.Invoker { return w.service().(realtime.Invoker) }
	stop := make(chan struct{})
	c := w.connect("", nil, Options{OnInvoke: func(m realtime.Message) (json.RawMessage, error) {
		switch m.Target {
		case "add":
			return json.RawMessage(`{"sum":[` + string(m.Arguments[0]) + `]}`), nil
		case "leave":
			close(stop)
			return nil, errors.New("leaving")
		}
		return nil, errors.New("can't")
	}})
	for range w.Services {
		got, err := invoker().Invoke(w.ctx, c.ID, w.message("add", 7))
		if err != nil || string(got) != `{"sum":[7]}` {
			w.Errorf("result %s, %v", got, err)
		}
		var e *realtime.Error
		if _, err := invoker().Invoke(w.ctx, c.ID, w.message("other")); !errors.As(err, &e) || !strings.Contains(e.Message, "can't") {
			w.Errorf("the client's error: %v", err)
		}
		if _, err := invoker().Invoke(w.ctx, "nobody", w.message("add", 7)); !errors.Is(err, realtime.ErrNoConnection) {
			w.Errorf("of nobody: %v", err)
		}
	}
}

func testRawSends(w *world) {
	sender, ok := w.service().(realtime.RawSender)
	if !ok {
		return // optional
	}
	a, b := w.connect("", nil, Options{}), w.connect("", nil, Options{})
	c, d := w.connect("", nil, Options{}), w.connect("", nil, Options{})
	m := signalr.Message{Type: signalr.Invocation, Target: "raw", Arguments: []json.RawMessage{json.RawMessage("1")}}
	framed := map[string][]byte{}
	for _, p := range signalr.Protocols() {
		f, err := p.Append(nil, &m)
		w.must(err)
		framed[p.String()] = f
	}
	w.must(sender.SendRaw(w.ctx, realtime.All(), framed))
	for _, x := range []*Client{a, b, c, d} {
		w.expect(x, "raw 1")
	}
	delete(framed, "messagepack")
	w.must(sender.SendRaw(w.ctx, realtime.All(), framed))
	for _, x := range []*Client{a, b, c, d} {
		if x.opts.Protocol == signalr.JSON {
			w.expect(x, "raw 1")
		}
		w.silent(x)
	}
}
