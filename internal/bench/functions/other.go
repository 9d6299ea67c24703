//go:build !linux

package functions

import (
	"context"
	"errors"
)

// Run measures, on Linux only: elsewhere there is no /proc to read CPU times from.
func Run(context.Context, Config) (*Result, error) {
	return nil, errors.New("this benchmark needs Linux")
}
