package cli

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"causeway/internal/config"
)

// resolveFile finds the flag --config in a parsed command line, and adds its file.
func resolveFile(k *kong.Context) error {
	for _, f := range k.Flags() {
		if f.Name == "config" {
			if name, ok := k.FlagValue(f).(string); ok && name != "" {
				return addFile(k, kong.ExpandPath(name))
			}
		}
	}
	return nil
}

// addFile makes the values of a YAML file the ones that count where neither a flag
// nor an environment variable says anything.
func addFile(k *kong.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	values, err := config.FileValues(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	k.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, env := range flag.Envs {
			if _, set := os.LookupEnv(env); set {
				return nil, nil
			}
		}
		if v, ok := values[flag.Name]; ok {
			return v, nil
		}
		return nil, nil
	}))
	return nil
}
