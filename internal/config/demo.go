package config

import (
	"net/url"
	"strings"
)

// DemoChat is the published example chat.
type DemoChat struct {
	Demo        bool     `yaml:"demo" help:"Offer the published example chat: the hub ChatHub and the page /demo. Whoever reaches the server may take part, and nothing is encrypted."`
	DemoOrigins []string `yaml:"demo_origin" name:"demo-origin" placeholder:"ORIGIN" help:"Origins of front ends elsewhere that may use the example chat, such as https://chat.example.org; * for any."`
	DemoBudget  Size     `yaml:"demo_budget" name:"demo-budget" default:"1GiB" help:"Most bytes relayed for the example chat in a day (UTC)."`
}

// validate reports what is wrong, by bad(key, …).
func (d *DemoChat) validate(bad func(key, format string, args ...any)) {
	for _, o := range d.DemoOrigins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != o || strings.Contains(u.Host, "*")) {
			bad("demo_origin", "%q is not an origin such as https://chat.example.org", o)
		}
	}
	if d.DemoBudget < 1<<20 {
		bad("demo_budget", "must be at least 1MiB")
	}
}
