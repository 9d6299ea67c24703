package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds a secret, in bytes.
const maxSecret = 64 << 10

// ErrNoSource says that a reference is well-formed but that this process has
// nothing that could resolve it.
var ErrNoSource = errors.New("no source for this kind of secret is configured")

// ErrUnresolved says that the platform should have put a secret of a Key Vault in the place of its
// reference, and has not.
var ErrUnresolved = errors.New("its Key Vault reference was not resolved; does the app's identity have the role Key Vault Secrets User, and does the vault's firewall let it in?")

// Source reads secrets from a vault.
type Source interface {
	// Secret is the text under name (vault/name[/version]). An error must not
	// hold the text.
	Secret(ctx context.Context, name string) (string, error)
}

// Resolver resolves references. The zero Resolver knows the environment and files.
type Resolver struct {
	// KeyVault resolves azurekv references; nil refuses them with ErrNoSource.
	KeyVault Source
}

// Resolve resolves ref by the zero Resolver.
func Resolve(ctx context.Context, ref Ref) (Value, error) { return Resolver{}.Resolve(ctx, ref) }

// Resolve reads the secret that ref names. The zero Ref gives the zero Value.
// An unset variable, an empty secret and one over 64 KiB are errors. Each call
// reads anew, so that a changed file is seen.
func (r Resolver) Resolve(ctx context.Context, ref Ref) (Value, error) {
	var text string
	var err error
	switch ref.kind {
	case KindNone:
		return Value{}, nil
	case KindEnv:
		var set bool
		if text, set = os.LookupEnv(ref.name); !set {
			err = errors.New("the environment variable is not set")
		}
	case KindFile:
		text, err = readFile(ref.name)
	case KindKeyVault:
		if r.KeyVault == nil {
			err = fmt.Errorf("%w: no Azure Key Vault is available to this process; use env:NAME or file:/path", ErrNoSource)
			break
		}
		text, err = r.KeyVault.Secret(ctx, ref.name)
	}
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("it is longer than %d bytes", maxSecret)
	}
	if err == nil && strings.HasPrefix(strings.TrimSpace(text), azurePrefix+"(") {
		// Azure leaves the text of a reference that it can't resolve as the setting's value; used as a key,
		// everybody could guess it.
		err = ErrUnresolved
	}
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return Value{}, fmt.Errorf("resolve secret %s: %w", ref, err)
	}
	return New(text), nil
}

// readFile reads a secret file. Editors and echo end files with a line end,
// which is no part of a secret.
func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+3))
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
