package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is one setting: a leaf of Config.
type field struct {
	key   string // in the file; with dashes, the flag
	tag   reflect.StructTag
	value reflect.Value
}

// fields returns the settings in v, in the order of their declaration.
func fields(v reflect.Value) []field {
	var all []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			all = append(all, fields(v.Field(i))...)
			continue
		}
		all = append(all, field{key: key, tag: f.Tag, value: v.Field(i)})
	}
	return all
}

// fieldsOf returns all settings of c.
func fieldsOf(c *Config) []field { return fields(reflect.ValueOf(c).Elem()) }

// Flag returns the name of the flag for a key of the file.
func Flag(key string) string { return strings.ReplaceAll(key, "_", "-") }

// Env returns the name of the environment variable for a key of the file.
func Env(key string) string { return "CAUSEWAY_" + strings.ToUpper(key) }

// WriteReference writes a commented YAML file with every setting at its default.
func WriteReference(w io.Writer) error {
	c, err := Default()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Causeway's settings. Each is also a flag (--turn-listen) and an environment variable (CAUSEWAY_TURN_LISTEN).\n")
	for _, f := range fields(reflect.ValueOf(&c).Elem()) {
		fmt.Fprintf(&b, "\n# %s\n", strings.ReplaceAll(f.tag.Get("help"), "${enum}", strings.ReplaceAll(f.tag.Get("enum"), ",", ", ")))
		fmt.Fprintf(&b, "# --%s, %s\n", Flag(f.key), Env(f.key))
		line, err := yaml.Marshal(map[string]any{f.key: f.value.Interface()})
		if err != nil {
			return fmt.Errorf("write reference: %w", err)
		}
		if f.value.IsZero() {
			b.WriteString("# ")
		}
		b.Write(line)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// Write writes c as YAML. Secrets are references in it, so nothing needs hiding.
func (c *Config) Write(w io.Writer) error {
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = w.Write(b)
	return err
}
