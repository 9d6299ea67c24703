package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"causeway/internal/realtime"

	"github.com/tinylib/msgp/msgp"
)

// pathOf is the path below the hub of what to names.
func pathOf(to realtime.Recipient) []string {
	switch to.Kind {
	case realtime.KindGroup:
		return []string{"groups", to.ID}
	case realtime.KindUser:
		return []string{"users", to.ID}
	case realtime.KindConnection:
		return []string{"connections", to.ID}
	case realtime.KindAll:
	}
	return nil
}

func excluded(to realtime.Recipient) url.Values {
	if len(to.Excluded) == 0 {
		return nil
	}
	return url.Values{"excluded": to.Excluded}
}

// Send sends m as JSON; the service encodes it for each client.
func (c *Client) Send(ctx context.Context, to realtime.Recipient, m realtime.Message) error {
	if m.Arguments == nil {
		m.Arguments = []json.RawMessage{}
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return c.send(ctx, to, "application/json", body)
}

// SendRaw sends invocations that are framed already, by the name of the protocol.
func (c *Client) SendRaw(ctx context.Context, to realtime.Recipient, framed map[string][]byte) error {
	body := msgp.AppendMapHeader(nil, uint32(len(framed)))
	for _, name := range slices.Sorted(maps.Keys(framed)) {
		body = msgp.AppendString(body, name)
		body = msgp.AppendBytes(body, framed[name])
	}
	return c.send(ctx, to, "application/octet-stream", body)
}

func (c *Client) send(ctx context.Context, to realtime.Recipient, kind string, body []byte) error {
	_, err := c.call(ctx, request{method: http.MethodPost, path: append(pathOf(to), ":send"), query: excluded(to), kind: kind, body: body})
	if err != nil && !isMissing(err) { // nobody there is no error
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// JoinGroup adds a connection to a group.
func (c *Client) JoinGroup(ctx context.Context, group, connectionID string) error {
	_, err := c.call(ctx, request{method: http.MethodPut, path: []string{"groups", group, "connections", connectionID}})
	return contractError("join group", err)
}

// LeaveGroup removes a connection from a group.
func (c *Client) LeaveGroup(ctx context.Context, group, connectionID string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"groups", group, "connections", connectionID}})
	return removalError("leave group", err)
}

// LeaveAllGroups removes a connection from all its groups.
func (c *Client) LeaveAllGroups(ctx context.Context, connectionID string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"connections", connectionID, "groups"}})
	return removalError("leave all groups", err)
}

// CloseConnection ends a connection.
func (c *Client) CloseConnection(ctx context.Context, connectionID, reason string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"connections", connectionID}, query: reasonOf(reason)})
	return contractError("close connection", err)
}

// CloseConnections ends the connections that who names; not for KindConnection.
func (c *Client) CloseConnections(ctx context.Context, who realtime.Recipient, reason string) error {
	if who.Kind == realtime.KindConnection {
		err := c.CloseConnection(ctx, who.ID, reason)
		if errors.Is(err, realtime.ErrNoConnection) {
			return nil
		}
		return err
	}
	query := reasonOf(reason)
	maps.Copy(query, excluded(who))
	_, err := c.call(ctx, request{method: http.MethodPost, path: append(pathOf(who), ":closeConnections"), query: query})
	return removalError("close connections", err)
}

func reasonOf(reason string) url.Values {
	if reason == "" {
		return url.Values{}
	}
	return url.Values{"reason": {reason}}
}

// AddUserToGroup adds a user to a group, for ttl in whole seconds, rounded up.
func (c *Client) AddUserToGroup(ctx context.Context, group, user string, ttl time.Duration) error {
	var query url.Values
	if ttl >= 0 {
		seconds := int64((ttl + time.Second - 1) / time.Second)
		query = url.Values{"ttl": {strconv.FormatInt(seconds, 10)}}
	}
	_, err := c.call(ctx, request{method: http.MethodPut, path: []string{"users", user, "groups", group}, query: query})
	return contractError("add user to group", err)
}

// RemoveUserFromGroup removes a user from a group.
func (c *Client) RemoveUserFromGroup(ctx context.Context, group, user string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"users", user, "groups", group}})
	return removalError("remove user from group", err)
}

// RemoveUserFromAllGroups removes a user from all groups.
func (c *Client) RemoveUserFromAllGroups(ctx context.Context, user string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: []string{"users", user, "groups"}})
	return removalError("remove user from all groups", err)
}

// UserInGroup says whether a user is in a group.
func (c *Client) UserInGroup(ctx context.Context, group, user string) (bool, error) {
	return c.exists(ctx, []string{"users", user, "groups", group})
}

// Exists says whether who names a live connection. That of a hub as a whole is
// found by counting.
func (c *Client) Exists(ctx context.Context, who realtime.Recipient) (bool, error) {
	if who.Kind == realtime.KindAll {
		n, _, err := c.Count(ctx, who)
		return n > 0, err
	}
	return c.exists(ctx, pathOf(who))
}

func (c *Client) exists(ctx context.Context, path []string) (bool, error) {
	_, err := c.call(ctx, request{method: http.MethodHead, path: path})
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("exists: %w", err)
	}
	return true, nil
}

// Count counts by our extension, and a group otherwise by listing it.
func (c *Client) Count(ctx context.Context, who realtime.Recipient) (connections, users int, err error) {
	body, err := c.call(ctx, request{method: http.MethodGet, path: append(pathOf(who), ":count")})
	if err == nil {
		var n struct{ Connections, Users int }
		if err := json.Unmarshal(body, &n); err != nil {
			return 0, 0, fmt.Errorf("count: read the answer: %w", err)
		}
		return n.Connections, n.Users, nil
	}
	if who.Kind != realtime.KindGroup || !errors.Is(err, errors.ErrUnsupported) {
		return 0, 0, fmt.Errorf("count: %w", err)
	}
	different := map[string]struct{}{}
	for after := ""; ; {
		page, next, err := c.Connections(ctx, who, after, maxPage)
		if err != nil {
			return 0, 0, fmt.Errorf("count: %w", err)
		}
		connections += len(page)
		for _, p := range page {
			if p.UserID != "" {
				different[p.UserID] = struct{}{}
			}
		}
		if next == "" || next == after {
			return connections, len(different), nil
		}
		after = next
	}
}

// maxPage is the greatest page that the service gives.
const maxPage = 200

// Connections lists connections; after is what an earlier call returned as next.
// Azure has this for groups, we for everything.
func (c *Client) Connections(ctx context.Context, who realtime.Recipient, after string, limit int) (page []realtime.ConnectionInfo, next string, err error) {
	query := url.Values{"maxpagesize": {strconv.Itoa(min(max(limit, 1), maxPage))}}
	if after != "" {
		query.Set("continuationToken", after)
	}
	body, err := c.call(ctx, request{method: http.MethodGet, path: append(pathOf(who), "connections"), query: query})
	if err != nil {
		return nil, "", fmt.Errorf("list connections: %w", err)
	}
	var answer struct {
		Value    []realtime.ConnectionInfo
		NextLink string
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, "", fmt.Errorf("list connections: read the answer: %w", err)
	}
	if answer.NextLink == "" {
		return answer.Value, "", nil
	}
	link, err := url.Parse(answer.NextLink)
	if err != nil || link.Query().Get("continuationToken") == "" {
		return nil, "", errors.New("list connections: the link to the next page has no continuation token")
	}
	return answer.Value, link.Query().Get("continuationToken"), nil
}

// Invoke asks a client for a result.
func (c *Client) Invoke(ctx context.Context, connectionID string, m realtime.Message) (json.RawMessage, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("invoke: %w", err)
	}
	answer, err := c.call(ctx, request{
		method: http.MethodPost, path: []string{"connections", connectionID, ":invoke"},
		kind: "application/json", body: body, timeout: invokeTimeout,
	})
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusBadRequest {
		return nil, &realtime.Error{Code: status.Code, Message: status.Message}
	}
	if err != nil {
		return nil, contractError("invoke", err)
	}
	var result struct{ Result json.RawMessage }
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, fmt.Errorf("invoke: read the answer: %w", err)
	}
	return result.Result, nil
}

// contractError is err as the contract has it: a 404 about a connection is
// ErrNoConnection.
func contractError(operation string, err error) error {
	if err == nil {
		return nil
	}
	if isMissing(err) {
		return realtime.ErrNoConnection
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// removalError is nil also if there was nothing to remove.
func removalError(operation string, err error) error {
	if err == nil || isMissing(err) {
		return nil
	}
	return fmt.Errorf("%s: %w", operation, err)
}
