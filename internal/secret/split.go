package secret

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Part is a piece of a text: a reference, or if that is zero, a literal.
type Part struct {
	Literal string
	Ref     Ref
}

// ErrUnclosed says that a reference in braces has no end.
var ErrUnclosed = errors.New("a secret reference in braces is not closed")

// Split cuts text at the references in braces that it holds:
//
//	{env:NAME}  {file:/path}  {azurekv:vault/name}
//	{@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/name)}
//
// Other braces are left as they are, inside the literals. An error does not
// hold the text.
func Split(text string) ([]Part, error) {
	var parts []Part
	literal := 0 // where the current literal begins
	for i := 0; i < len(text); {
		open := strings.IndexByte(text[i:], '{')
		if open < 0 {
			break
		}
		open += i
		if !isReference(text[open+1:]) {
			i = open + 1
			continue
		}
		length := strings.IndexByte(text[open:], '}')
		if length < 0 {
			return nil, ErrUnclosed
		}
		ref, err := parseInner(text[open+1 : open+length])
		if err != nil {
			return nil, err
		}
		if literal < open {
			parts = append(parts, Part{Literal: text[literal:open]})
		}
		parts = append(parts, Part{Ref: ref})
		i = open + length + 1
		literal = i
	}
	if literal < len(text) {
		parts = append(parts, Part{Literal: text[literal:]})
	}
	return parts, nil
}

const azurePrefix = "@Microsoft.KeyVault"

func isReference(s string) bool {
	for _, p := range []string{"env:", "file:", "azurekv:", azurePrefix} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func parseInner(s string) (Ref, error) {
	if rest, ok := strings.CutPrefix(s, azurePrefix); ok {
		return parseAzure(rest)
	}
	return ParseRef(s)
}

// Expand replaces the references in text (see Split) by their secrets, as they
// are, and leaves everything else.
func (r Resolver) Expand(ctx context.Context, text string) (Value, error) {
	parts, err := Split(text)
	if err != nil {
		return Value{}, err
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Literal)
		v, err := r.Resolve(ctx, p.Ref)
		if err != nil {
			return Value{}, fmt.Errorf("expand: %w", err)
		}
		b.WriteString(v.Reveal())
	}
	return New(b.String()), nil
}
