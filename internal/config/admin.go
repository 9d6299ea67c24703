package config

import "strings"

// Operator is the page /admin.
type Operator struct {
	AdminToken string `yaml:"admin_token" name:"admin-token" placeholder:"REF" help:"Secret reference (env:NAME, file:/path) to the token for the page /admin, at least 16 characters. Without it there is no such page."`
}

// validate reports what is wrong, by bad(key, …).
func (o *Operator) validate(bad func(key, format string, args ...any)) {
	if o.AdminToken != "" && !strings.Contains(o.AdminToken, ":") {
		bad("admin_token", "is a secret itself; give a reference such as env:NAME or file:/path")
	}
}
