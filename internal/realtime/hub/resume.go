package hub

import (
	"errors"

	"causeway/internal/realtime/hub/frame"
	"causeway/internal/realtime/hub/replay"
)

// inSequence counts a message of the client, and says whether to process it.
// Without stateful reconnect it says yes.
func (c *conn) inSequence(body []byte) (pass bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume == nil {
		return true, nil
	}
	pass, err = c.resume.Received(c.protocol, body)
	if errors.Is(err, replay.ErrSequence) {
		err = closeError{ReasonSequence}
	}
	return pass, err
}

// acknowledgment returns the Ack that is due, if one is.
func (c *conn) acknowledgment() *frame.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume == nil || c.link == nil {
		return nil
	}
	return c.resume.Acknowledgment(c.protocol)
}
