package cli

import (
	"context"
	"fmt"
	"slices"

	"causeway/internal/app"
	"causeway/internal/config"
)

// nodeCommand groups what an operator does about relay nodes elsewhere.
type nodeCommand struct {
	Key nodeKey `cmd:"" help:"Print the key of a relay node: a secret, for causeway relay --node-key. It is made from this server's signing key and the node's name, and says nothing about other nodes' keys."`
}

type nodeKey struct {
	Name     string `arg:"" help:"The node's name, as in relay_node."`
	settings `embed:""`
}

func (c *nodeKey) Run(ctx context.Context, s streams) error {
	if err := c.validate(); err != nil {
		return err
	}
	key, err := app.NodeKey(ctx, c.Config, c.Name)
	if err != nil {
		return usageError{err}
	}
	if !slices.ContainsFunc(c.RelayNode, func(n config.RelayNode) bool { return n.Name == c.Name }) {
		fmt.Fprintf(s.err, "causeway: hint: list it in this server's configuration: relay_node: [{name: %s, url: \"https://…\"}]\n", c.Name)
	}
	_, err = fmt.Fprintln(s.out, key)
	return err
}
