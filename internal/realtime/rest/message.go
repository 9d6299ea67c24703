package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"causeway/internal/realtime"
)

func (h *Handler) sendAll(c *call) error {
	return h.send(c, realtime.All(c.query["excluded"]...))
}

func (h *Handler) sendGroup(c *call) error {
	return h.send(c, realtime.Group(c.group, c.query["excluded"]...))
}

func (h *Handler) sendUser(c *call) error { return h.send(c, realtime.User(c.user)) }

func (h *Handler) sendConnection(c *call) error {
	return h.send(c, realtime.ToConnection(c.connection))
}

// send answers 202 as soon as the service has accepted the message; that nobody
// receives it is no error (spec §4.4).
func (h *Handler) send(c *call, to realtime.Recipient) error {
	p, err := h.readPayload(c)
	if err != nil {
		return err
	}
	if raw, ok := c.service.(realtime.RawSender); ok && p.framed != nil {
		err = raw.SendRaw(c.ctx(), to, p.framed)
	} else {
		err = c.service.Send(c.ctx(), to, p.message)
	}
	if err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		return serviceError(err)
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

func closeAll(c *call) error { return closeMany(c, realtime.All(c.query["excluded"]...)) }

func closeGroup(c *call) error {
	return closeMany(c, realtime.Group(c.group, c.query["excluded"]...))
}

func closeUser(c *call) error {
	who := realtime.User(c.user)
	who.Excluded = c.query["excluded"]
	return closeMany(c, who)
}

func closeMany(c *call, who realtime.Recipient) error {
	closer, ok := c.service.(realtime.Closer)
	if !ok {
		return notImplemented("this service cannot close many connections at once")
	}
	if err := closer.CloseConnections(c.ctx(), who, c.query.Get("reason")); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		return serviceError(err)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func closeConnection(c *call) error {
	err := c.service.CloseConnection(c.ctx(), c.connection, c.query.Get("reason"))
	if errors.Is(err, realtime.ErrNoConnection) {
		return missing(noSuchConnection, "no such connection")
	}
	if err != nil {
		return serviceError(err)
	}
	return c.done(http.StatusOK, http.StatusAccepted)
}

// done answers with the status of the request's family.
func (c *call) done(dated, v1 int) error {
	if c.v1 {
		dated = v1
	}
	c.w.WriteHeader(dated)
	return nil
}

// maxMinutes is the longest lifetime of a token: a year.
const maxMinutes = 365 * 24 * 60

func generateToken(c *call) error {
	minutes := 60
	if text := c.query.Get("minutesToExpire"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxMinutes {
			return badRequest("minutesToExpire", "want a number of minutes from 1 to 525600")
		}
		minutes = n
	}
	endpoint, err := c.service.Negotiate(c.ctx(), realtime.Claims{
		User:     c.query.Get("userId"),
		Lifetime: time.Duration(minutes) * time.Minute,
		Origin:   c.origin(),
	})
	if err != nil {
		return serviceError(err)
	}
	return writeJSON(c.w, map[string]string{"token": endpoint.AccessToken})
}

// origin is the address at which the caller reached us.
func (c *call) origin() string {
	scheme := "http"
	if c.r.TLS != nil || c.r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

// invoke asks a client for a result. How Azure answers a client's error is not
// documented; 400 keeps SDKs from repeating the call.
func (h *Handler) invoke(c *call) error {
	invoker, ok := c.service.(realtime.Invoker)
	if !ok {
		return notImplemented("this service cannot ask clients for results")
	}
	p, err := h.readPayload(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx(), h.cfg.InvokeTimeout)
	defer cancel()
	result, err := invoker.Invoke(ctx, c.connection, p.message)
	if err != nil {
		return serviceError(err)
	}
	if result == nil {
		result = json.RawMessage("null")
	}
	return writeJSON(c.w, map[string]json.RawMessage{"result": result})
}

func unsupportedStream(*call) error {
	return notImplemented("streams are not supported")
}
