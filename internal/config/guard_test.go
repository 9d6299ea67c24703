package config

import (
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	c, err := Load(strings.NewReader("api_origin: [\"https://app.example:444\"]\nblock: [192.0.2.0/24, \"2001:db8::/32\"]\nrate_limit: 0\nwork: always\nmessage_price: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil || len(c.Guard.Block) != 2 || c.RateLimit != 0 || c.Work != "always" || c.MessagePrice != 1_000_000 || c.WorkFrom != 20 || c.RelayAt != 80 {
		t.Errorf("%v %+v", err, c.Guard)
	}
	for key, breakIt := range map[string]func(*Config){
		"api_origin":      func(c *Config) { c.APIOrigin = []string{"https://a.example/"} },
		"rate_limit":      func(c *Config) { c.RateLimit = -1 },
		"work_from":       func(c *Config) { c.WorkFrom = 0 },
		"spend_relay_at":  func(c *Config) { c.RelayAt = 95 },
		"execution_price": func(c *Config) { c.ExecutionPrice = -1 },
	} {
		c, err := Default()
		if err != nil {
			t.Fatal(err)
		}
		breakIt(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
