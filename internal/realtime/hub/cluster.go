package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"causeway/internal/realtime"
	"causeway/internal/signalr"
)

// Broker joins hubs into a cluster. Each node holds its own connections; their ids
// end in its name. Groups and users span nodes: what concerns them is told to all
// nodes, and questions about them are asked of all.
//
// Messages from one node to another arrive in the order of the calls, at most
// once. A Broker is safe for concurrent use, and is trusted.
type Broker interface {
	// Join makes a node reachable under its name until leave is called. receive is
	// called for each message to it, and its result answers Ask; it returns soon,
	// except for questions to a client, so questions must not wait for each other.
	Join(ctx context.Context, node string, receive Receive) (leave func(), err error)
	// Tell sends a message to a node, or, if to is empty, to every node but from.
	// It returns before it is received. ErrNoNode if the broker knows that there is
	// no such node.
	Tell(ctx context.Context, from, to string, message []byte) error
	// Ask sends a message to a node, or to every node but from, and returns their
	// answers. It fails if one of them does not answer before ctx ends.
	Ask(ctx context.Context, from, to string, message []byte) (replies [][]byte, err error)
}

// Receive handles a message from another node.
type Receive func(ctx context.Context, message []byte) (reply []byte)

// ErrNoNode says that a cluster has no node of that name.
var ErrNoNode = errors.New("no such node")

// cluster is a hub's side of a Broker; nil without one.
type cluster struct {
	hub    *Hub
	node   string
	broker Broker
}

// op is what a node asks of another.
type op string

const (
	opSend      op = "send"  // To, Message or Raw
	opJoin      op = "join"  // Group, ID
	opLeave     op = "leave" // Group (empty: all), ID
	opClose     op = "close" // To, Text, Refused
	opUserGroup op = "user"  // Change
	opCount     op = "count" // To
	opList      op = "list"  // To, Text (after), Limit
	opInvoke    op = "invoke"
	opHello     op = "hello" // answers all memberships of users
)

// envelope is a message between nodes.
type envelope struct {
	Op      op
	Hub     string             `json:",omitempty"`
	To      realtime.Recipient `json:",omitzero"`
	Group   string             `json:",omitempty"`
	ID      string             `json:",omitempty"`
	Text    string             `json:",omitempty"`
	Refused bool               `json:",omitempty"`
	Limit   int                `json:",omitempty"`
	Message *realtime.Message  `json:",omitempty"`
	Raw     map[string][]byte  `json:",omitempty"`
	Change  *userGroup         `json:",omitempty"`
}

// answer is the reply to an envelope.
type answer struct {
	Gone   bool                      `json:",omitempty"` // realtime.ErrNoConnection
	Code   string                    `json:",omitempty"` // of a realtime.Error
	Error  string                    `json:",omitempty"`
	N      int                       `json:",omitempty"`
	Users  []string                  `json:",omitempty"`
	List   []realtime.ConnectionInfo `json:",omitempty"`
	Result json.RawMessage           `json:",omitempty"`
	// Memberships by hub.
	Memberships map[string][]userGroup `json:",omitempty"`
}

func (s *Service) cluster() *cluster { return s.space.hub.cluster }

// join makes this node part of the cluster, and learns what the others remember.
func (k *cluster) join(ctx context.Context) (leave func(), err error) {
	if k == nil {
		return func() {}, nil
	}
	leave, err = k.broker.Join(ctx, k.node, k.receive)
	if err != nil {
		return func() {}, err
	}
	answers, err := k.ask(ctx, "", &envelope{Op: opHello})
	if err != nil {
		leave()
		return func() {}, err
	}
	for _, a := range answers {
		for name, changes := range a.Memberships {
			s := k.hub.space(name)
			for _, c := range changes {
				if s == nil {
					break
				}
				if err := s.apply(c); err != nil {
					k.hub.cfg.Logger.Warn("membership not taken over", "hub", name, "err", err)
				}
			}
		}
	}
	return leave, nil
}

// remote is the node that holds a connection; empty if it is this one.
func (k *cluster) remote(connectionID string) string {
	if k == nil {
		return ""
	}
	_, node, _ := strings.Cut(connectionID, ".")
	if node == k.node {
		return ""
	}
	return node
}

// tell sends e to a node, or to all others. A node that is gone is no error, like
// a client that is.
func (k *cluster) tell(ctx context.Context, to string, e *envelope) error {
	if k == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if err := k.broker.Tell(ctx, k.node, to, b); err != nil && !errors.Is(err, ErrNoNode) {
		k.hub.metrics.refused.WithLabelValues("broker").Inc()
		return fmt.Errorf("cluster: tell: %w", err)
	}
	return nil
}

// ask returns the answers of a node, or of all others.
func (k *cluster) ask(ctx context.Context, to string, e *envelope) ([]answer, error) {
	if k == nil {
		return nil, nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	replies, err := k.broker.Ask(ctx, k.node, to, b)
	if errors.Is(err, ErrNoNode) {
		return nil, realtime.ErrNoConnection
	}
	if err != nil {
		k.hub.metrics.refused.WithLabelValues("broker").Inc()
		return nil, fmt.Errorf("cluster: ask: %w", err)
	}
	answers := make([]answer, len(replies))
	for i, r := range replies {
		if err := json.Unmarshal(r, &answers[i]); err != nil {
			return nil, fmt.Errorf("cluster: answer: %w", err)
		}
	}
	return answers, nil
}

// askOne asks the node that holds a connection.
func (k *cluster) askOne(ctx context.Context, node string, e *envelope) (answer, error) {
	answers, err := k.ask(ctx, node, e)
	switch {
	case err != nil:
		return answer{}, err
	case len(answers) != 1 || answers[0].Gone:
		return answer{}, realtime.ErrNoConnection
	case answers[0].Code != "":
		return answer{}, &realtime.Error{Code: answers[0].Code, Message: answers[0].Error}
	case answers[0].Error != "":
		return answer{}, errors.New(answers[0].Error)
	}
	return answers[0], nil
}

// receive handles a message from another node.
func (k *cluster) receive(ctx context.Context, message []byte) []byte {
	var e envelope
	var a answer
	if err := json.Unmarshal(message, &e); err != nil {
		k.hub.cfg.Logger.Error("malformed message from another node", "err", err)
		return nil
	}
	var err error
	if e.Op == opHello {
		a.Memberships = map[string][]userGroup{}
		for _, s := range k.hub.allSpaces() {
			a.Memberships[s.name] = s.changes()
		}
	} else if s := k.hub.space(e.Hub); s != nil {
		err = s.carryOut(ctx, &e, &a)
	} else {
		a.Gone = true
	}
	var re *realtime.Error
	switch {
	case errors.Is(err, realtime.ErrNoConnection):
		a.Gone = true
	case errors.As(err, &re):
		a.Code, a.Error = re.Code, re.Message
	case err != nil:
		a.Error = err.Error()
	}
	b, err := json.Marshal(a)
	if err != nil {
		k.hub.cfg.Logger.Error("answer to another node", "err", err)
	}
	return b
}

// carryOut does what another node asks of this one, and fills in the answer.
func (s *space) carryOut(ctx context.Context, e *envelope, a *answer) (err error) {
	switch e.Op {
	case opSend:
		f := fan{raw: e.Raw}
		if e.Message != nil {
			f.message = &signalr.Message{Type: signalr.Invocation, Target: e.Message.Target, Arguments: e.Message.Arguments}
		}
		s.fanOut(e.To, &f, nil)
	case opJoin:
		return s.join(e.Group, e.ID)
	case opLeave:
		s.leave(e.Group, e.ID)
	case opClose:
		r := ReasonApplication
		if e.Refused {
			r = ReasonRefused
		}
		if n := s.closeAll(e.To, r, e.Text); n == 0 {
			return realtime.ErrNoConnection
		}
	case opUserGroup:
		return s.apply(*e.Change)
	case opCount:
		a.N, a.Users = s.count(e.To)
	case opList:
		a.List = s.list(e.To, e.Text, e.Limit)
	case opInvoke:
		a.Result, err = s.invoke(ctx, e.ID, *e.Message)
		return err
	}
	return nil
}
