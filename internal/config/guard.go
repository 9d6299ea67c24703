package config

import (
	"net/netip"
	"net/url"
)

// Guard is what protects the server and its owner's money from floods.
type Guard struct {
	APIOrigin        []string       `yaml:"api_origin" name:"api-origin" placeholder:"ORIGIN" help:"Origins, besides our own, whose pages may use the API, such as https://app.example.org."`
	Block            []netip.Prefix `yaml:"block" placeholder:"PREFIX" help:"Addresses (CIDR) that are refused."`
	RateLimit        float64        `yaml:"rate_limit" name:"rate-limit" default:"1" help:"Factor on all limits by network (IPv4 /24, IPv6 /56) and by session, such as 4 for a large campus; 0 switches them off."`
	Work             string         `yaml:"work" default:"auto" enum:"auto,always,off" help:"When pages must do a short calculation first (${enum}): auto is under pressure."`
	WorkFrom         int            `yaml:"work_from" name:"work-from" default:"20" help:"New sessions in a second from which that is so; joins count half, negotiations a third. Set it above your busiest honest minute."`
	RelayAt          int            `yaml:"spend_relay_at" name:"spend-relay-at" default:"80" help:"Percent of a day's or month's cap from which sessions that have not used a relay yet get none."`
	SessionsAt       int            `yaml:"spend_sessions_at" name:"spend-sessions-at" default:"90" help:"Percent of a day's or month's cap in money from which there are no new sessions, if anything but the relay has a price."`
	ExecutionPrice   Money          `yaml:"execution_price" name:"execution-price" default:"0" help:"Price of a million requests and connection events, such as 0.20 for function executions; counts towards budget_day_money and budget_month_money."`
	NegotiationPrice Money          `yaml:"negotiation_price" name:"negotiation-price" default:"0" help:"Price of a million negotiations, on top."`
	MessagePrice     Money          `yaml:"message_price" name:"message-price" default:"0" help:"Price of a million messages to clients, such as 1.00."`
}

// maxEventPrice of a million events.
const maxEventPrice Money = 1_000_000 * 1_000_000

// validate reports what is wrong, by bad(key, …).
func (g *Guard) validate(bad func(key, format string, args ...any)) {
	for _, o := range g.APIOrigin {
		if u, err := url.Parse(o); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || o != u.Scheme+"://"+u.Host {
			bad("api_origin", "%q is not an origin such as https://app.example.org", o)
		}
	}
	if g.RateLimit < 0 || g.RateLimit > 1e6 {
		bad("rate_limit", "must be 0 to 1000000")
	}
	if g.WorkFrom < 1 || g.WorkFrom > 1e6 {
		bad("work_from", "must be 1 to 1000000")
	}
	if g.RelayAt < 1 || g.SessionsAt > 100 || g.RelayAt > g.SessionsAt {
		bad("spend_relay_at", "want 1 to 100, and not above spend_sessions_at")
	}
	for key, p := range map[string]Money{"execution_price": g.ExecutionPrice, "negotiation_price": g.NegotiationPrice, "message_price": g.MessagePrice} {
		if p < 0 || p > maxEventPrice {
			bad(key, "want 0 to %s", maxEventPrice)
		}
	}
}
