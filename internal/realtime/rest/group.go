package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"causeway/internal/realtime"
)

// maxTTL is how long a user stays in a group at most (spec §4.5).
const maxTTL = 365 * 24 * time.Hour

func joinGroup(c *call) error {
	if err := c.service.JoinGroup(c.ctx(), c.group, c.connection); err != nil {
		return serviceError(err)
	}
	return c.done(http.StatusOK, http.StatusOK)
}

// leaveGroup succeeds whether or not the connection exists: the SDK accepts no 404.
func leaveGroup(c *call) error {
	if err := c.service.LeaveGroup(c.ctx(), c.group, c.connection); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		return serviceError(err)
	}
	return c.done(http.StatusOK, http.StatusOK)
}

// userGroups runs do with the service's groups of users, and answers; that
// something is unknown already is no error when it is removed.
func userGroups(c *call, dated, v1 int, do func(context.Context, realtime.UserGroups) error) error {
	groups, ok := c.service.(realtime.UserGroups)
	if !ok {
		return notImplemented("this service keeps no groups of users")
	}
	if err := do(c.ctx(), groups); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		return serviceError(err)
	}
	return c.done(dated, v1)
}

func leaveAllGroups(c *call) error {
	return userGroups(c, http.StatusOK, http.StatusOK, func(ctx context.Context, g realtime.UserGroups) error {
		return g.LeaveAllGroups(ctx, c.connection)
	})
}

func removeUserFromAllGroups(c *call) error {
	return userGroups(c, http.StatusNoContent, http.StatusOK, func(ctx context.Context, g realtime.UserGroups) error {
		return g.RemoveUserFromAllGroups(ctx, c.user)
	})
}

func removeUserFromGroup(c *call) error {
	return userGroups(c, http.StatusNoContent, http.StatusAccepted, func(ctx context.Context, g realtime.UserGroups) error {
		return g.RemoveUserFromGroup(ctx, c.group, c.user)
	})
}

func addUserToGroup(c *call) error {
	ttl, err := parseTTL(c.query["ttl"])
	if err != nil {
		return err
	}
	return userGroups(c, http.StatusOK, http.StatusAccepted, func(ctx context.Context, g realtime.UserGroups) error {
		return g.AddUserToGroup(ctx, c.group, c.user, ttl)
	})
}

// parseTTL parses seconds. None is -1, and more than a year is a year.
func parseTTL(values []string) (time.Duration, error) {
	if len(values) == 0 || values[0] == "" {
		return -1, nil
	}
	seconds, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || seconds < 0 {
		return 0, badRequest("ttl", "want a number of seconds, 0 or more")
	}
	return time.Duration(min(seconds, int64(maxTTL/time.Second))) * time.Second, nil
}

func userInGroup(c *call) error {
	groups, ok := c.service.(realtime.UserGroups)
	if !ok {
		return notImplemented("this service keeps no groups of users")
	}
	in, err := groups.UserInGroup(c.ctx(), c.group, c.user)
	if err != nil {
		return serviceError(err)
	}
	if !in {
		return missing(userNotInGroup, "the user is not in the group")
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}
