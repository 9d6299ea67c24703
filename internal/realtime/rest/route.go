package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Operations, as labels of metrics.
const (
	opUnknown     = "unknown"
	opHealth      = "health"
	opSend        = "send"
	opClose       = "close"
	opExists      = "exists"
	opGroup       = "group"
	opUserGroup   = "user_group"
	opToken       = "generate_token"
	opExecute     = "execute"
	opInvoke      = "invoke"
	opConnections = "connections"
	opUsers       = "users"
	opCount       = "count"
	opUnsupported = "unsupported"
)

// route is one operation of the data plane.
type route struct {
	method    string
	pattern   []string // segments; {…} is a parameter
	v1Only    bool     // a path of 1.0 that dated versions replaced
	operation string
	serve     func(*call) error
}

// params are the decoded parameters of a path.
type params struct {
	has                          uint8
	hub, group, user, connection string
}

const (
	hasGroup = 1 << iota
	hasUser
	hasConnection
)

// table is the table of spec §4.1, by number of segments. Paths of the dated
// versions are also served under /api/v1, where they harm nobody.
func (h *Handler) table() map[int][]route {
	all := slices.Concat(h.messageRoutes(), h.groupRoutes(), h.presenceRoutes())
	byLength := map[int][]route{}
	for _, r := range all {
		byLength[len(r.pattern)] = append(byLength[len(r.pattern)], r)
	}
	return byLength
}

func on(method, pattern, operation string, serve func(*call) error) route {
	return route{method: method, pattern: strings.Split(pattern, "/"), operation: operation, serve: serve}
}

func onV1(method, pattern, operation string, serve func(*call) error) route {
	r := on(method, pattern, operation, serve)
	r.v1Only = true
	return r
}

func (h *Handler) messageRoutes() []route {
	const post, del = http.MethodPost, http.MethodDelete
	return []route{
		on(post, "hubs/{hub}/:send", opSend, h.sendAll),
		onV1(post, "hubs/{hub}", opSend, h.sendAll),
		on(post, "hubs/{hub}/users/{user}/:send", opSend, h.sendUser),
		onV1(post, "hubs/{hub}/users/{user}", opSend, h.sendUser),
		on(post, "hubs/{hub}/groups/{group}/:send", opSend, h.sendGroup),
		onV1(post, "hubs/{hub}/groups/{group}", opSend, h.sendGroup),
		on(post, "hubs/{hub}/connections/{id}/:send", opSend, h.sendConnection),
		onV1(post, "hubs/{hub}/connections/{id}", opSend, h.sendConnection),
		on(post, "hubs/{hub}/:closeConnections", opClose, closeAll),
		on(post, "hubs/{hub}/groups/{group}/:closeConnections", opClose, closeGroup),
		on(post, "hubs/{hub}/users/{user}/:closeConnections", opClose, closeUser),
		on(del, "hubs/{hub}/connections/{id}", opClose, closeConnection),
		on(post, "hubs/{hub}/:generateToken", opToken, generateToken),
		on(post, "hubs/{hub}/:execute", opExecute, h.execute),
		on(post, "hubs/{hub}/connections/{id}/:invoke", opInvoke, h.invoke),
		on(post, "hubs/{hub}/connections/{id}/streams/{stream}/:send", opUnsupported, unsupportedStream),
		on(post, "hubs/{hub}/connections/{id}/streams/{stream}/:complete", opUnsupported, unsupportedStream),
	}
}

func (h *Handler) groupRoutes() []route {
	const put, del = http.MethodPut, http.MethodDelete
	routes := []route{
		on(put, "hubs/{hub}/groups/{group}/connections/{id}", opGroup, joinGroup),
		on(put, "hubs/{hub}/connections/{id}/groups/{group}", opGroup, joinGroup),
		on(del, "hubs/{hub}/groups/{group}/connections/{id}", opGroup, leaveGroup),
		on(del, "hubs/{hub}/connections/{id}/groups/{group}", opGroup, leaveGroup),
		on(del, "hubs/{hub}/connections/{id}/groups", opGroup, leaveAllGroups),
		on(del, "hubs/{hub}/users/{user}/groups", opUserGroup, removeUserFromAllGroups),
	}
	for _, path := range []string{"hubs/{hub}/users/{user}/groups/{group}", "hubs/{hub}/groups/{group}/users/{user}"} {
		routes = append(routes,
			on(put, path, opUserGroup, addUserToGroup),
			on(del, path, opUserGroup, removeUserFromGroup),
			on(http.MethodHead, path, opExists, userInGroup),
			on(http.MethodGet, path, opExists, userInGroup))
	}
	return routes
}

func (h *Handler) presenceRoutes() []route {
	const get = http.MethodGet
	routes := []route{
		on(get, "hubs/{hub}/groups/{group}/connections", opConnections, h.listConnections),
		on(get, "hubs/{hub}/users/{user}/connections", opConnections, h.listConnections),
		on(get, "hubs/{hub}/connections/{id}/connections", opConnections, h.listConnections),
		on(get, "hubs/{hub}/connections", opConnections, h.listConnections),
		on(get, "hubs/{hub}/users", opUsers, h.listUsers),
		on(get, "hubs/{hub}/groups/{group}/users", opUsers, h.listUsers),
		on(get, "hubs/{hub}/:count", opCount, count),
		on(get, "hubs/{hub}/groups/{group}/:count", opCount, count),
		on(get, "hubs/{hub}/users/{user}/:count", opCount, count),
		on(get, "hubs/{hub}/connections/{id}/:count", opCount, count),
	}
	for _, method := range []string{get, http.MethodHead} {
		routes = append(routes,
			on(method, "hubs/{hub}/connections/{id}", opExists, connectionExists),
			on(method, "hubs/{hub}/groups/{group}", opExists, groupExists),
			on(method, "hubs/{hub}/users/{user}", opExists, userExists))
	}
	return routes
}

// family cuts the prefix off an escaped path and says which family it is of.
func family(escaped string) (path string, v1, ok bool) {
	path, ok = strings.CutPrefix(escaped, "/api/")
	if !ok {
		return "", false, false
	}
	path = strings.TrimSuffix(path, "/")
	if rest, is := strings.CutPrefix(path, "v1/"); is {
		return rest, true, true
	}
	return path, false, true
}

// find finds the route of an escaped path. Segments are decoded once, each on
// its own, so that ids may hold an encoded slash.
func (h *Handler) find(method, path string, v1 bool) (route, params, error) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return route{}, params{}, badRequest("path", "the path is not properly encoded")
		}
		segments[i] = decoded
	}
	var allowed []string
	for _, r := range h.routes[len(segments)] {
		if r.v1Only && !v1 {
			continue
		}
		p, ok := match(r.pattern, segments)
		if !ok {
			continue
		}
		if r.method == method {
			return r, p, nil
		}
		allowed = append(allowed, r.method)
	}
	if len(allowed) > 0 {
		return route{}, params{}, methodNotAllowed(strings.Join(allowed, ", "))
	}
	return route{}, params{}, notFound("no such operation")
}

func match(pattern, segments []string) (p params, ok bool) {
	for i, want := range pattern {
		switch got := segments[i]; want {
		case "{hub}":
			p.hub = got
		case "{group}":
			p.group, p.has = got, p.has|hasGroup
		case "{user}":
			p.user, p.has = got, p.has|hasUser
		case "{id}":
			p.connection, p.has = got, p.has|hasConnection
		case "{stream}":
		default:
			if got != want {
				return params{}, false
			}
		}
	}
	return p, true
}
