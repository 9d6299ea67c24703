//go:build !linux

package cli

import (
	"context"
	"errors"
)

// Run needs Linux: addresses of 127/8, and figures of processes.
func (b *benchGuard) Run(context.Context, streams) error {
	return errors.New("this benchmark needs Linux")
}
