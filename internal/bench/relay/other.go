//go:build !linux

package relay

import (
	"context"
	"errors"
)

// Run needs Linux, whose figures it reads.
func Run(context.Context, Config) (*Report, error) {
	return nil, errors.New("this benchmark needs Linux")
}
