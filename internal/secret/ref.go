package secret

import (
	"errors"
	"net/url"
	"strings"
)

// Kind says where a reference points.
type Kind uint8

// The kinds of references. KindNone is that of the zero Ref.
const (
	KindNone     Kind = iota
	KindEnv           // env:NAME
	KindFile          // file:/path
	KindKeyVault      // azurekv:vault/name, or the form of Azure's settings
)

// Ref names a secret. It is safe to print. The zero Ref names nothing.
type Ref struct {
	kind Kind
	name string // variable, path, or vault/name[/version]
}

// ErrLiteral is the refusal of a text that is no reference. It never holds the text.
var ErrLiteral = errors.New("not a secret reference: write env:NAME, file:/path or azurekv:vault/name, never the secret itself")

// ErrReference says that a reference has a known scheme but a bad name. It
// does not hold the name either: somebody may have put a secret there.
var ErrReference = errors.New("malformed secret reference: write env:NAME, file:/path or azurekv:vault/name")

// maxRef bounds a reference, in bytes.
const maxRef = 4096

// ParseRef parses env:NAME, file:/path and azurekv:vault/name[/version].
func ParseRef(text string) (Ref, error) {
	scheme, name, found := strings.Cut(text, ":")
	if !found || len(text) > maxRef {
		return Ref{}, ErrLiteral
	}
	switch scheme {
	case "env":
		if !isVariable(name) {
			return Ref{}, ErrReference
		}
		return Ref{KindEnv, name}, nil
	case "file":
		if name == "" || strings.ContainsFunc(name, isControl) {
			return Ref{}, ErrReference
		}
		return Ref{KindFile, name}, nil
	case "azurekv":
		if !isVaultName(name) {
			return Ref{}, ErrReference
		}
		return Ref{KindKeyVault, name}, nil
	}
	return Ref{}, ErrLiteral
}

// parseAzure parses what follows @Microsoft.KeyVault in Azure's own references:
// (SecretUri=https://VAULT.vault.azure.net/secrets/NAME[/VERSION]) or
// (VaultName=…;SecretName=…[;SecretVersion=…]).
func parseAzure(text string) (Ref, error) {
	inner, ok := strings.CutPrefix(text, "(")
	if inner, ok = cutSuffixIf(inner, ")", ok); !ok {
		return Ref{}, ErrReference
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(inner, ";") {
		key, value, found := strings.Cut(part, "=")
		if !found {
			return Ref{}, ErrReference
		}
		fields[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
	}
	name := fields["vaultname"] + "/" + fields["secretname"]
	if v := fields["secretversion"]; v != "" {
		name += "/" + v
	}
	if uri, has := fields["secreturi"]; has {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" {
			return Ref{}, ErrReference
		}
		vault, _, _ := strings.Cut(u.Hostname(), ".")
		path, ok := strings.CutPrefix(u.Path, "/secrets/")
		if !ok {
			return Ref{}, ErrReference
		}
		name = vault + "/" + strings.TrimSuffix(path, "/")
	}
	if !isVaultName(name) {
		return Ref{}, ErrReference
	}
	return Ref{KindKeyVault, name}, nil
}

func cutSuffixIf(s, suffix string, ok bool) (string, bool) {
	s, has := strings.CutSuffix(s, suffix)
	return s, has && ok
}

// Kind is the kind of the reference.
func (r Ref) Kind() Kind { return r.kind }

// Name is the variable's name, the path, or vault/name[/version].
func (r Ref) Name() string { return r.name }

// IsZero says whether the reference names nothing.
func (r Ref) IsZero() bool { return r.kind == KindNone }

// String is the text that ParseRef parses, or "" for the zero Ref.
func (r Ref) String() string {
	switch r.kind {
	case KindEnv:
		return "env:" + r.name
	case KindFile:
		return "file:" + r.name
	case KindKeyVault:
		return "azurekv:" + r.name
	case KindNone:
	}
	return ""
}

// MarshalText is String.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRef; the empty text gives the zero Ref.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Ref{}
		return nil
	}
	parsed, err := ParseRef(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

func isVariable(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || '9' < c) {
			return false
		}
	}
	return s != ""
}

// isVaultName accepts vault/name[/version], each of Azure's alphabet: letters,
// digits and hyphens, at most 127.
func isVaultName(s string) bool {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return false
	}
	for _, p := range parts {
		if p == "" || len(p) > 127 {
			return false
		}
		for _, c := range p {
			if c != '-' && (c < '0' || '9' < c) && (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) {
				return false
			}
		}
	}
	return true
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
