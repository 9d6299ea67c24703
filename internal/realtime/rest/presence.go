package rest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"causeway/internal/realtime"
)

// maxPage is the greatest and the default number of entries of a page.
const maxPage = 200

// scanPage is how many connections are asked for at once when all of them are
// looked at.
const scanPage = 1000

func (c *call) presence() (realtime.Presence, error) {
	p, ok := c.service.(realtime.Presence)
	if !ok {
		return nil, notImplemented("this service cannot say who is connected")
	}
	return p, nil
}

// who is what the path names: a group, a user, a connection, or all of the hub.
func (c *call) who() realtime.Recipient {
	switch {
	case c.group != "":
		return realtime.Group(c.group)
	case c.user != "":
		return realtime.User(c.user)
	case c.connection != "":
		return realtime.ToConnection(c.connection)
	}
	return realtime.All()
}

func connectionExists(c *call) error { return exists(c, noSuchConnection, "no such connection") }

func groupExists(c *call) error {
	return exists(c, noSuchGroup, "no connection is in the group")
}

func userExists(c *call) error { return exists(c, noSuchUser, "the user has no connection") }

func exists(c *call, msCode, message string) error {
	p, err := c.presence()
	if err != nil {
		return err
	}
	found, err := p.Exists(c.ctx(), c.who())
	if err != nil {
		return serviceError(err)
	}
	if !found {
		return missing(msCode, message)
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func count(c *call) error {
	p, err := c.presence()
	if err != nil {
		return err
	}
	connections, users, err := p.Count(c.ctx(), c.who())
	if err != nil {
		return serviceError(err)
	}
	return writeJSON(c.w, map[string]int{"connections": connections, "users": users})
}

// page is the answer of a list.
type page struct {
	Value    any    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// paging is where a list goes on and how far.
type paging struct {
	after string
	size  int // of this page
	top   int // entries that are left altogether; 0 means all
}

func (h *Handler) paging(c *call) (paging, error) {
	p := paging{size: maxPage}
	if text := c.query.Get("maxpagesize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return p, badRequest("maxpagesize", "want a number from 1 to 200")
		}
		p.size = n
	}
	if text := c.query.Get("top"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return p, badRequest("top", "want a number from 1 on")
		}
		p.top = n
	}
	if text := c.query.Get("continuationToken"); text != "" {
		after, top, err := h.openContinuation(text, c.r.URL.EscapedPath(), c.hub)
		if err != nil {
			return p, badRequest("continuationToken", "this token is not for this list; begin again without one")
		}
		p.after, p.top = after, top
	}
	if p.top > 0 {
		p.size = min(p.size, p.top)
	}
	return p, nil
}

// answerPage answers with a page of n entries, after which the list goes on at
// next unless that is empty or top entries have been listed.
func (h *Handler) answerPage(c *call, p paging, value any, n int, next string) error {
	out := page{Value: value}
	left := 0
	if p.top > 0 {
		if left = p.top - n; left <= 0 {
			next = ""
		}
	}
	if next != "" {
		token, err := h.sealContinuation(next, left, c.r.URL.EscapedPath(), c.hub)
		if err != nil {
			return serviceError(err)
		}
		query := url.Values{"continuationToken": {token}, "maxpagesize": {strconv.Itoa(p.size)}}
		for _, name := range []string{"api-version", "application"} {
			if v := c.query.Get(name); v != "" {
				query.Set(name, v)
			}
		}
		out.NextLink = c.origin() + c.r.URL.EscapedPath() + "?" + query.Encode()
	}
	return writeJSON(c.w, out)
}

func (h *Handler) listConnections(c *call) error {
	presence, err := c.presence()
	if err != nil {
		return err
	}
	p, err := h.paging(c)
	if err != nil {
		return err
	}
	found, next, err := presence.Connections(c.ctx(), c.who(), p.after, p.size)
	if err != nil {
		return serviceError(err)
	}
	if found == nil {
		found = []realtime.ConnectionInfo{}
	}
	return h.answerPage(c, p, found, len(found), next)
}

type userInfo struct {
	UserID string `json:"userId"`
}

// listUsers lists the different users in the order of their ids. The service
// lists connections in another order, so each page looks at all of them and
// keeps the first ids after the last page; memory is that of a page.
func (h *Handler) listUsers(c *call) error {
	presence, err := c.presence()
	if err != nil {
		return err
	}
	p, err := h.paging(c)
	if err != nil {
		return err
	}
	var ids []string // sorted, different, at most p.size+1
	err = scan(c, presence, c.who(), func(info realtime.ConnectionInfo) error {
		if info.UserID == "" || info.UserID <= p.after {
			return nil
		}
		at, has := slices.BinarySearch(ids, info.UserID)
		if has || at > p.size {
			return nil
		}
		ids = slices.Insert(ids, at, info.UserID)
		ids = ids[:min(len(ids), p.size+1)]
		return nil
	})
	if err != nil {
		return serviceError(err)
	}
	next := ""
	if len(ids) > p.size {
		ids = ids[:p.size]
		next = ids[p.size-1]
	}
	value := make([]userInfo, len(ids))
	for i, id := range ids {
		value[i].UserID = id
	}
	return h.answerPage(c, p, value, len(value), next)
}

// scan calls visit for each connection that who names.
func scan(c *call, presence realtime.Presence, who realtime.Recipient, visit func(realtime.ConnectionInfo) error) error {
	after := ""
	for {
		found, next, err := presence.Connections(c.ctx(), who, after, scanPage)
		if err != nil {
			return err
		}
		for _, info := range found {
			if err := visit(info); err != nil {
				return err
			}
		}
		if next == "" || next == after {
			return nil
		}
		after = next
	}
}
