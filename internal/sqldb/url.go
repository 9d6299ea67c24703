package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"causeway/internal/secret"
)

// ErrPassword is the refusal of a URL with a literal password. It never holds the URL.
var ErrPassword = errors.New("the URL holds a password; write a reference such as {env:NAME} in its place, or give the whole URL as env:NAME")

// CheckURL reports what is wrong with a URL as far as can be said without resolving it.
func CheckURL(text string) error {
	if _, err := secret.ParseRef(text); err == nil {
		return nil
	}
	parts, err := secret.Split(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, p := range parts {
		if b.WriteString(p.Literal); !p.Ref.IsZero() {
			b.WriteString(stand)
		}
	}
	text = b.String()
	scheme, _, _ := strings.Cut(text, ":")
	switch scheme {
	case "sqlite":
		return nil
	case "postgres", "postgresql", "sqlserver":
	default:
		return errors.New("it begins with none of sqlite:, postgres:// and sqlserver://, and is no reference such as env:NAME")
	}
	u, err := url.Parse(text)
	if err != nil {
		return errURL(scheme)
	}
	if word, has := u.User.Password(); has && word != stand && word != "" {
		return ErrPassword
	}
	for key, values := range u.Query() {
		if !strings.Contains(strings.ToLower(key), "password") && !strings.EqualFold(key, "pwd") {
			continue
		}
		for _, v := range values {
			if v != stand {
				return ErrPassword
			}
		}
	}
	return nil
}

// stand stands for a secret in CheckURL; no password is made of it, as it is told here.
const stand = "reference"

// resolve returns the URL with its secrets, those in braces escaped.
func resolve(ctx context.Context, cfg Config) (string, error) {
	if cfg.URL == "" {
		return "sqlite:", nil
	}
	if err := CheckURL(cfg.URL); err != nil {
		return "", err
	}
	if ref, err := secret.ParseRef(cfg.URL); err == nil {
		v, err := cfg.Resolver.Resolve(ctx, ref)
		return strings.TrimSpace(v.Reveal()), err
	}
	parts, err := secret.Split(cfg.URL)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		v, err := cfg.Resolver.Resolve(ctx, p.Ref)
		if err != nil {
			return "", fmt.Errorf("expand the URL: %w", err)
		}
		b.WriteString(p.Literal)
		b.WriteString(strings.ReplaceAll(url.QueryEscape(v.Reveal()), "+", "%20"))
	}
	return b.String(), nil
}
