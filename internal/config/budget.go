package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Budget is what the relay may spend, and on whom.
type Budget struct {
	PeerPolicy     string         `yaml:"peer_policy" name:"peer-policy" default:"p2" enum:"p0,p1,p2,p3,p4" help:"Where the relay sends to (${enum}): p0 any public address; p1 and no port of a well-known service; p2 and only addresses that members of the session proved; p3 and only after a completed ICE check; p4 only relayed addresses of the session."`
	SourcePin      string         `yaml:"relay_source_pin" name:"relay-source-pin" default:"soft" enum:"soft,strict" help:"What becomes of a credential that is used from another network (IPv4 /24, IPv6 /48) than first, and than its member signals from (${enum}): soft counts it, strict refuses it."`
	PeerAllow      []netip.Prefix `yaml:"peer_allow" name:"peer-allow" placeholder:"PREFIX" help:"Addresses (CIDR) that peers may have whatever the policy says below p4, such as an SFU's."`
	PeerDeny       []netip.Prefix `yaml:"peer_deny" name:"peer-deny" placeholder:"PREFIX" help:"Addresses (CIDR) that peers may not have, besides private and special ones."`
	SessionBudget  Size           `yaml:"budget_session" name:"budget-session" default:"4GiB" help:"Most bytes relayed for one session, such as 500MB, 4GiB or unlimited."`
	DayBudget      Size           `yaml:"budget_day" name:"budget-day" default:"100GiB" help:"Most bytes relayed in a day (UTC)."`
	MonthBudget    Size           `yaml:"budget_month" name:"budget-month" default:"1TiB" help:"Most bytes relayed in a month (UTC)."`
	MemberShare    int            `yaml:"budget_member_share" name:"budget-member-share" default:"60" help:"Most of a session's bytes that one member may use, in percent, where the size of what is sent was not declared."`
	Allowance      Size           `yaml:"budget_allowance" name:"budget-allowance" default:"16MiB" help:"Bytes a session may use beyond 1.15 times what its members declared to transfer."`
	RelayPrice     Money          `yaml:"relay_price" name:"relay-price" default:"0" help:"Price of a gigabyte (10^9 bytes) that leaves the own relay's networks, in your currency, such as 0.05."`
	SessionMoney   Money          `yaml:"budget_session_money" name:"budget-session-money" default:"0" help:"Most money for one session, at the prices given; 0 for no such limit."`
	DayMoney       Money          `yaml:"budget_day_money" name:"budget-day-money" default:"0" help:"Most money in a day (UTC), for the relay and all else that has a price; 0 for no such limit."`
	MonthMoney     Money          `yaml:"budget_month_money" name:"budget-month-money" default:"0" help:"Most money in a month (UTC), for the relay and all else that has a price; 0 for no such limit."`
	ProviderRegion string         `yaml:"provider_region" name:"provider-region" placeholder:"NAME" help:"Region of bought relays, where a provider has regions and its entry names none."`
	Provider       []Provider     `yaml:"provider" kong:"-" help:"Bought TURN relays, in the file, or as one YAML list in CAUSEWAY_PROVIDER; asked in this order when the own relay is off or full. Each has a name, a type (coturn, metered, cloudflare), a price per gigabyte, and what its type needs: url and secret; app, secret and region; key_id, secret, account and analytics. Secrets are references such as env:NAME."`
}

// Provider is a TURN relay that somebody else runs.
type Provider struct {
	Name      string   `yaml:"name"`
	Type      string   `yaml:"type"`                // coturn, metered or cloudflare
	Price     Money    `yaml:"price"`               // of a gigabyte
	Secret    string   `yaml:"secret"`              // reference: coturn's static-auth-secret, Metered's secretKey, Cloudflare's TURN key
	URL       []string `yaml:"url,omitempty"`       // coturn: stun:, turn: and turns: URLs
	App       string   `yaml:"app,omitempty"`       // Metered: NAME of https://NAME.metered.live, or the whole origin
	Region    string   `yaml:"region,omitempty"`    // Metered
	KeyID     string   `yaml:"key_id,omitempty"`    // Cloudflare
	Account   string   `yaml:"account,omitempty"`   // Cloudflare, for usage
	Analytics string   `yaml:"analytics,omitempty"` // reference: Cloudflare's token for it
}

// ProvidersFromEnv takes the providers and relay nodes from the environment, if they are there: a YAML list each, for
// platforms whose settings are environment variables.
func ProvidersFromEnv(c *Config) error {
	return errors.Join(listFromEnv("provider", &c.Provider), listFromEnv("relay_node", &c.RelayNode))
}

func listFromEnv[T any](key string, to *[]T) error {
	text, ok := os.LookupEnv(Env(key))
	if !ok || strings.TrimSpace(text) == "" {
		return nil
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	var list []T
	if err := d.Decode(&list); err != nil {
		return fmt.Errorf("%s is not a YAML list of what %s has in the file", Env(key), key) // err might repeat a secret
	}
	*to = list
	return nil
}

// OwnRelay is the name of the own relay among the providers, which none of them has.
const OwnRelay = "own"

// validate reports what is wrong, by bad(key, …).
func (b *Budget) validate(bad func(key, format string, args ...any)) {
	if !slices.Contains([]string{"p0", "p1", "p2", "p3", "p4"}, b.PeerPolicy) {
		bad("peer_policy", "%q is none of p0, p1, p2, p3 and p4", b.PeerPolicy)
	}
	if b.SourcePin != "soft" && b.SourcePin != "strict" {
		bad("relay_source_pin", "%q is neither soft nor strict", b.SourcePin)
	}
	for key, p := range map[string][]netip.Prefix{"peer_allow": b.PeerAllow, "peer_deny": b.PeerDeny} {
		if slices.ContainsFunc(p, func(p netip.Prefix) bool { return p.Addr().Is4In6() }) {
			bad(key, "an IPv4 prefix is written as such, and not as ::ffff:0:0/96")
		}
	}
	for key, n := range map[string]Size{"budget_session": b.SessionBudget, "budget_day": b.DayBudget, "budget_month": b.MonthBudget} {
		if n < 1 {
			bad(key, "must be positive; switch the relay off with turn_listen: off")
		}
	}
	if b.Allowance < 1 || b.Allowance == Unlimited {
		bad("budget_allowance", "must be a positive number of bytes")
	}
	if b.MemberShare < 1 || b.MemberShare > 100 {
		bad("budget_member_share", "must be 1 to 100 percent")
	}
	for key, m := range map[string]Money{"relay_price": b.RelayPrice, "budget_session_money": b.SessionMoney, "budget_day_money": b.DayMoney, "budget_month_money": b.MonthMoney} {
		if m < 0 {
			bad(key, "must not be negative")
		}
	}
	if b.RelayPrice > maxPrice {
		bad("relay_price", "must be at most %s", maxPrice)
	}
	names := map[string]bool{OwnRelay: true}
	for i, p := range b.Provider {
		if p.Name == "" || strings.Contains(p.Name, ":") || names[p.Name] {
			bad("provider", "number %d: wants a name of its own, without a colon, and not %q", i+1, OwnRelay)
		}
		names[p.Name] = true
		for _, what := range p.missing() {
			bad("provider", "number %d (%s): %s", i+1, p.Type, what)
		}
	}
}

// maxPrice of a gigabyte.
const maxPrice Money = 1000 * 1_000_000

// missing says what a provider lacks, or has too much. A secret is not repeated.
func (p *Provider) missing() (list []string) {
	need := func(ok bool, what string) {
		if !ok {
			list = append(list, what)
		}
	}
	need(strings.Contains(p.Secret, ":"), "secret: want a reference such as env:NAME or file:/path")
	need(p.Price >= 0 && p.Price <= maxPrice, fmt.Sprintf("price: want 0 to %s", maxPrice))
	need(p.Type == "coturn" || len(p.URL) == 0, "url is for coturn")
	need(p.Type == "metered" || p.App+p.Region == "", "app and region are for metered")
	need(p.Type == "cloudflare" || p.KeyID+p.Account+p.Analytics == "", "key_id, account and analytics are for cloudflare")
	switch p.Type {
	case "coturn":
		need(slices.ContainsFunc(p.URL, func(u string) bool { return strings.HasPrefix(u, "turn:") || strings.HasPrefix(u, "turns:") }),
			"url: want at least one such as turn:turn.example.org:3478?transport=udp")
	case "metered":
		u, err := url.Parse(p.Origin())
		need(p.App != "" && err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "", "app: want the NAME of https://NAME.metered.live")
	case "cloudflare":
		need(p.KeyID != "", "key_id: want the id of the TURN key")
		need((p.Account == "") == (p.Analytics == ""), "account and analytics go together")
		need(p.Analytics == "" || strings.Contains(p.Analytics, ":"), "analytics: want a reference such as env:NAME or file:/path")
	default:
		need(false, "type: want coturn, metered or cloudflare")
	}
	return list
}

// Origin is where Metered's API for App is.
func (p *Provider) Origin() string {
	if strings.Contains(p.App, "://") {
		return p.App
	}
	return "https://" + p.App + ".metered.live"
}

// Size is a number of bytes, as text such as 500MB (decimal), 4GiB (binary) or 123.
type Size int64

// Unlimited is the Size without a limit.
const Unlimited Size = math.MaxInt64

var sizeUnits = [...]struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

// UnmarshalText parses a number and a unit, or "unlimited".
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	if text == "unlimited" {
		*s = Unlimited
		return nil
	}
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.bytes {
			break
		}
		*s = Size(int64(n) * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 500MB or 4GiB", b)
}

// MarshalText is the reverse of UnmarshalText, with the largest binary or decimal unit that
// leaves a whole number.
func (s Size) MarshalText() ([]byte, error) {
	if s == Unlimited {
		return []byte("unlimited"), nil
	}
	best := sizeUnits[len(sizeUnits)-1]
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return fmt.Appendf(nil, "%d%s", int64(s)/best.bytes, best.name), nil
}

// String is MarshalText.
func (s Size) String() string {
	b, _ := s.MarshalText() // which does not fail
	return string(b)
}

// Money is millionths of the operator's currency, as text such as 12.50.
type Money int64

var errMoney = errors.New("not an amount of money such as 12.50, with at most 6 decimals")

// UnmarshalText parses a decimal number without a sign.
func (m *Money) UnmarshalText(b []byte) error {
	whole, part, dot := strings.Cut(strings.TrimSpace(string(b)), ".")
	if len(part) > 6 || dot && part == "" {
		return fmt.Errorf("%q: %w", b, errMoney)
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 6-len(part)), 10, 63)
	if err != nil || whole == "" {
		return fmt.Errorf("%q: %w", b, errMoney)
	}
	*m = Money(n)
	return nil
}

// MarshalText is the reverse of UnmarshalText.
func (m Money) MarshalText() ([]byte, error) {
	text := fmt.Sprintf("%d.%06d", m/1_000_000, m%1_000_000)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// String is MarshalText.
func (m Money) String() string {
	b, _ := m.MarshalText() // which does not fail
	return string(b)
}
