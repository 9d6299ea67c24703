package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"causeway/internal/config"
	"causeway/internal/secret"
	"causeway/internal/secret/azurekv"
)

// identity is what the process is on Azure: where secrets of Key Vaults come from, and tokens. It is
// opened when it is first needed, which elsewhere than on Azure is never.
type identity struct {
	clientID string
	mu       sync.Mutex
	source   *azurekv.Source
}

func (i *identity) open() (*azurekv.Source, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.source == nil {
		s, err := azurekv.New(azurekv.Config{ClientID: i.clientID})
		if err != nil {
			return nil, err
		}
		i.source = s
	}
	return i.source, nil
}

// Secret implements secret.Source.
func (i *identity) Secret(ctx context.Context, name string) (string, error) {
	s, err := i.open()
	if err != nil {
		return "", err
	}
	return s.Secret(ctx, name)
}

// token returns how a token for scope is fetched.
func (i *identity) token(scope string) func(context.Context) (string, time.Time, error) {
	return func(ctx context.Context) (string, time.Time, error) {
		s, err := i.open()
		if err != nil {
			return "", time.Time{}, err
		}
		return s.Token(ctx, scope)
	}
}

func newIdentity(cfg config.Config) *identity { return &identity{clientID: cfg.IdentityClientID} }

// resolver reads each secret when it is asked.
func resolver(cfg config.Config) secret.Resolver {
	return secret.Resolver{KeyVault: newIdentity(cfg)}
}

// getSecret resolves a reference, from memory or anew.
type getSecret func(context.Context, secret.Ref) (secret.Value, error)

// text resolves the text of a reference; empty gives the absent secret.
func (g getSecret) text(ctx context.Context, key, text string) (secret.Value, error) {
	var ref secret.Ref
	if err := ref.UnmarshalText([]byte(text)); err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", key, err)
	}
	v, err := g(ctx, ref)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}
