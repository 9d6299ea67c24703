package rest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

type listed struct {
	Value []struct {
		ConnectionID string `json:"connectionId"`
		UserID       string `json:"userId"`
	} `json:"value"`
	NextLink string `json:"nextLink"`
}

// list follows nextLink to the end, as SDKs do, and joins what it saw.
func list(t *testing.T, h http.Handler, target string) (ids, links string, pages int) {
	t.Helper()
	var seen, all []string
	for target != "" {
		w := do(t, h, "GET", target, "")
		var got listed
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		for _, v := range got.Value {
			seen = append(seen, strings.TrimPrefix(v.ConnectionID+"="+v.UserID, "="))
		}
		pages++
		all = append(all, got.NextLink)
		target = strings.TrimPrefix(got.NextLink, "http://localhost:8888")
	}
	return strings.Join(seen, " "), strings.Join(all, " "), pages
}

func TestLists(t *testing.T) {
	h := handler(t, populated(), nil)
	for _, c := range []struct {
		target, want string
		pages        int
	}{
		{"/api/hubs/chat/groups/g/connections?api-version=2024-12-01", "c1=ann c2=ann", 1},
		{"/api/hubs/chat/groups/g/connections?maxpagesize=1&api-version=2024-12-01", "c1=ann c2=ann", 2},
		{"/api/hubs/chat/groups/a%2Fb/connections?maxpagesize=1", "c2=ann", 1},
		{"/api/hubs/chat/connections?maxpagesize=2", "c1=ann c2=ann c3=bob c4=", 2},
		{"/api/hubs/chat/connections?maxpagesize=2&top=3", "c1=ann c2=ann c3=bob", 2},
		{"/api/hubs/chat/connections?top=1", "c1=ann", 1},
		{"/api/v1/hubs/chat/users/ann/connections", "c1=ann c2=ann", 1},
		{"/api/hubs/chat/users?maxpagesize=1", "ann bob", 2},
		{"/api/hubs/chat/users", "ann bob", 1},
		{"/api/hubs/chat/groups/g/users", "ann", 1},
		{"/api/hubs/chat/groups/none/users", "", 1},
		{"/api/hubs/chat/groups/none/connections", "", 1},
	} {
		if got, _, pages := list(t, h, c.target); got != c.want || pages != c.pages {
			t.Errorf("%s: %q in %d pages", c.target, got, pages)
		}
	}
	_, links, _ := list(t, h, "/api/hubs/chat/connections?maxpagesize=2&api-version=2024-12-01")
	next, err := url.Parse(strings.Fields(links)[0])
	if err != nil || next.Query().Get("api-version") != "2024-12-01" {
		t.Fatalf("%s %v", links, err)
	}
	token := next.Query().Get("continuationToken")
	for _, target := range []string{
		"/api/hubs/chat/groups/g/connections?continuationToken=" + token, "/api/hubs/chat/connections?application=x&continuationToken=" + token,
		"/api/hubs/chat/connections?continuationToken=" + token[:len(token)-2], "/api/hubs/chat/connections?continuationToken=!", "/api/hubs/chat/connections?continuationToken=YQ",
		"/api/hubs/chat/connections?maxpagesize=0", "/api/hubs/chat/connections?maxpagesize=201", "/api/hubs/chat/connections?top=0",
	} {
		if w := do(t, h, "GET", target, ""); w.Code != 400 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

func TestCount(t *testing.T) {
	h := handler(t, populated(), nil)
	for path, want := range map[string]string{
		"/api/hubs/chat/:count": `{"connections":4,"users":2}`, "/api/hubs/chat/groups/g/:count": `{"connections":2,"users":1}`, "/api/v1/hubs/chat/users/bob/:count": `{"connections":1,"users":1}`,
	} {
		if w := do(t, h, "GET", path, ""); w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestExecute(t *testing.T) {
	for _, c := range []struct {
		name, filter, body string
		status             int
		notes              string
	}{
		{
			"all commands", "startswith(userId, 'an')",
			`[{"type":"SendMessage","message":{"target":"t","arguments":[1]}},{"type":"JoinGroup","group":"n"},{"type":"LeaveGroup","group":"g"},{"type":"CloseConnection","reason":"r"}]`,
			202, `connections all; send connection c1: t[1]; join n c1; leave g c1; close c1 "r"; send connection c2: t[1]; join n c2; leave g c2; close c2 "r"`,
		},
		{"everybody", "", `[{"type":"JoinGroup","group":"n"}]`, 202, "connections all; join n c1; join n c2; join n c3; join n c4"},
		{"nobody", "userId eq 'eve'", `[{"type":"JoinGroup","group":"n"}]`, 202, "connections all"},
		{"anonymous", "userId eq null", `[{"type":"JoinGroup","group":"n"}]`, 202, "connections all; join n c4"},
		{"bad filter", "hub eq 'x'", `[{"type":"JoinGroup","group":"n"}]`, 400, ""},
		{"no commands", "", `[]`, 400, ""},
		{"no array", "", `{}`, 400, ""},
		{"unknown command", "", `[{"type":"JoinGroup","group":"n"},{"type":"Dance"}]`, 400, ""},
		{"no message", "", `[{"type":"SendMessage"}]`, 400, ""},
		{"no target", "", `[{"type":"SendMessage","message":{}}]`, 400, ""},
		{"no group", "", `[{"type":"JoinGroup"}]`, 400, ""},
	} {
		f := populated()
		w := do(t, handler(t, f, nil), "POST", "/api/hubs/chat/:execute?filter="+url.QueryEscape(c.filter), c.body)
		if got := f.notes(); w.Code != c.status || got != c.notes {
			t.Errorf("%s: %d %s\n%s", c.name, w.Code, w.Body, got)
		}
	}
}
