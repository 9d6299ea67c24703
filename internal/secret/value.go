// Package secret keeps secrets out of files, logs and error texts.
//
// A configuration never holds a secret; it holds a reference to one:
//
//	env:NAME              the environment variable NAME
//	file:/path            the file's content, without the line ends at its end
//	azurekv:vault/name    a secret of an Azure Key Vault
//
// A [Ref] is a parsed reference, and nothing but a reference parses: a literal
// is refused with an error that does not repeat it. [Resolve] turns a Ref into
// a [Value], which every way of printing that Go has shows as [Redacted];
// the only way to the text is [Value.Reveal], which is easy to search for.
//
// URLs of upstreams carry references inside braces, next to other parameters
// ({hub} and the like), which are not this package's: [Split] cuts a text into
// literal parts and references.
//
// What needs a Key Vault parses everywhere, and is refused when it is resolved
// by a [Resolver] that was not given such a source. So the same configuration
// can be checked on any machine.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a Value shows wherever it is printed.
const Redacted = "[redacted]"

// Value is a secret text. The zero Value is the absent secret. A Value prints
// as Redacted by every fmt verb, in JSON, as text and in slog.
//
// The text is behind a pointer because fmt does not call methods of values in
// unexported fields; it prints such a pointer as an address.
type Value struct{ text *string }

// New makes a Value of a text.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{&text}
}

// Reveal is the secret itself. Hand it to what needs it, and nowhere else.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero says whether there is no secret.
func (v Value) IsZero() bool { return v.text == nil }

// Equal compares in a time that depends on the lengths only.
func (v Value) Equal(w Value) bool {
	a, b := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(w.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String redacts.
func (Value) String() string { return Redacted }

// GoString redacts.
func (Value) GoString() string { return Redacted }

// Format redacts under every verb.
func (Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// MarshalText redacts.
func (Value) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON redacts.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalYAML redacts.
func (Value) MarshalYAML() (any, error) { return Redacted, nil }

// LogValue redacts.
func (Value) LogValue() slog.Value { return slog.StringValue(Redacted) }
