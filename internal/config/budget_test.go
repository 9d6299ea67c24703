package config

import (
	"math"
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "123": 123, "123B": 123, "1kB": 1000, "500MB": 500e6, "2GB": 2e9, "3TB": 3e12, "1KiB": 1 << 10, "16MiB": 16 << 20, "4GiB": 4 << 30, "1TiB": 1 << 40, " 4 GiB ": 4 << 30, "unlimited": Unlimited,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v", text, s, err)
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q: written as %s and read as %d, %v", text, s, again, err)
		}
	}
	for s, want := range map[Size]string{0: "0", 1: "1", 1000: "1kB", 1024: "1KiB", 1e9: "1GB", 4 << 30: "4GiB", 1 << 40: "1TiB", 1500: "1500", Unlimited: "unlimited"} {
		if got := s.String(); got != want {
			t.Errorf("%d: %s, want %s", s, got, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "4 gib", "1e9", "99999999TiB", "4GiBs", "+4"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, s)
		}
	}
}

func TestMoney(t *testing.T) {
	for text, want := range map[string]Money{"0": 0, "1": 1e6, "0.05": 50_000, "12.50": 12_500_000, "0.000001": 1, "007": 7e6, "9223372036854.775807": math.MaxInt64} {
		var m Money
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%q: %d, %v", text, m, err)
		}
		var again Money
		if err := again.UnmarshalText([]byte(m.String())); err != nil || again != m {
			t.Errorf("%q: written as %s", text, m)
		}
	}
	if s := Money(12_500_000).String(); s != "12.5" {
		t.Error(s)
	}
	for _, text := range []string{"", ".", ".5", "5.", "-1", "1.0000001", "1e3", "1,5", "$1", "9223372036855", "1.-5"} {
		var m Money
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, m)
		}
	}
}

const providers = `
budget_day: 200GiB
budget_day_money: 10.5
relay_price: 0.05
peer_policy: p3
peer_deny: [198.51.100.0/24]
provider:
- {name: ours, type: coturn, price: 0, secret: "env:COTURN", url: ["turn:turn.example.org:3478"]}
- {name: metered, type: metered, price: 0.4, secret: "file:/run/secrets/metered", app: example, region: europe}
- {name: cloudflare, type: cloudflare, price: 0.05, secret: "env:CF_KEY", key_id: abc, account: def, analytics: "env:CF_TOKEN"}
`

func TestBudget(t *testing.T) {
	c, err := Load(strings.NewReader(providers))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.DayBudget != 200<<30 || c.SessionBudget != 4<<30 || c.MonthBudget != 1<<40 || c.DayMoney != 10_500_000 || c.RelayPrice != 50_000 || len(c.Provider) != 3 || c.Provider[1].Price != 400_000 || c.Provider[1].Origin() != "https://example.metered.live" {
		t.Errorf("%+v", c.Budget)
	}
	values, err := FileValues(strings.NewReader(providers))
	if err != nil || values["budget-day"] != "200GiB" || values["budget-day-money"] != "10.5" || values["provider"] != "" {
		t.Errorf("%v, %v", values, err)
	}
	var printed strings.Builder
	if err := c.Write(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := Load(strings.NewReader(printed.String()))
	if err != nil || len(again.Provider) != 3 || again.Provider[2].Analytics != "env:CF_TOKEN" || again.DayMoney != c.DayMoney {
		t.Errorf("%v\n%s", err, printed.String())
	}
}

func TestBudgetValidate(t *testing.T) {
	const literal = "c2VjcmV0"
	for _, b := range []struct{ key, text string }{
		{"peer_policy", "peer_policy: p5"},
		{"peer_allow", `peer_allow: ["::ffff:10.0.0.0/104"]`},
		{"budget_session", "budget_session: 0"},
		{"budget_allowance", "budget_allowance: unlimited"},
		{"budget_member_share", "budget_member_share: 101"},
		{"relay_price", "relay_price: 1001"},
		{"provider", `provider: [{type: coturn, secret: "env:X", url: ["turn:x"]}]`},
		{"provider", `provider: [{name: own, type: coturn, secret: "env:X", url: ["turn:x"]}]`},
		{"provider", `provider: [{name: "a:b", type: coturn, secret: "env:X", url: ["turn:x"]}]`},
		{"provider", `provider: [{name: a, type: coturn, secret: "env:X", url: ["turn:x"]}, {name: a, type: coturn, secret: "env:X", url: ["turn:x"]}]`},
		{"provider", `provider: [{name: a, type: twilio, secret: "env:X"}]`},
		{"provider", `provider: [{name: a, type: coturn, secret: ` + literal + `, url: ["turn:x"]}]`},
		{"provider", `provider: [{name: a, type: coturn, secret: "env:X", url: ["stun:x"]}]`},
		{"provider", `provider: [{name: a, type: coturn, secret: "env:X", url: ["turn:x"], region: eu}]`},
		{"provider", `provider: [{name: a, type: metered, secret: "env:X"}]`},
		{"provider", `provider: [{name: a, type: metered, secret: "env:X", app: "x/y"}]`},
		{"provider", `provider: [{name: a, type: metered, secret: "env:X", app: x, url: ["turn:x"]}]`},
		{"provider", `provider: [{name: a, type: metered, secret: "env:X", app: x, price: 5000}]`},
		{"provider", `provider: [{name: a, type: cloudflare, secret: "env:X"}]`},
		{"provider", `provider: [{name: a, type: cloudflare, secret: "env:X", key_id: k, account: a}]`},
		{"provider", `provider: [{name: a, type: cloudflare, secret: "env:X", key_id: k, account: a, analytics: ` + literal + `}]`},
	} {
		c, err := Load(strings.NewReader(b.text))
		if err != nil {
			t.Errorf("%s: %v", b.text, err)
			continue
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), b.key+": ") || strings.Contains(err.Error(), literal) {
			t.Errorf("%s: %v", b.text, err)
		}
	}
	for _, text := range []string{"budget_day: lots", "relay_price: -1", `provider: [{name: a, kind: b}]`} {
		if _, err := Load(strings.NewReader(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
