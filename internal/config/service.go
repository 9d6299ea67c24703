package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Service is the realtime service as other people's applications use it, in the
// place of Azure SignalR Service.
type Service struct {
	AccessKey     []string      `yaml:"access_key" name:"access-key" placeholder:"REF" help:"Secret references (env:NAME, file:/path) to the access keys, the primary first; files are read again when they change. By default one is made, kept in the data directory, and printed at start."`
	AccessHost    []string      `yaml:"access_host" name:"access-host" placeholder:"HOST" help:"Hosts that a token's audience may name. By default any, as the path and the hub in it are what is checked."`
	AllowedOrigin []string      `yaml:"allowed_origin" name:"allowed-origin" placeholder:"ORIGIN" help:"Origins whose pages may connect. By default any."`
	MaxMessage    int           `yaml:"max_message_bytes" name:"max-message-bytes" default:"1048576" help:"Largest message of a client, and largest body of the data plane, in bytes."`
	MaxGroups     int           `yaml:"max_groups_per_connection" name:"max-groups-per-connection" default:"1000" help:"Most groups of one connection."`
	MaxRate       float64       `yaml:"max_message_rate" name:"max-message-rate" default:"1000" help:"Most invocations a second from one connection; bursts of twice that are let through."`
	MaxQueue      int           `yaml:"max_queue_bytes" name:"max-queue-bytes" default:"4194304" help:"Most bytes that wait for one connection; a client that is slower is closed."`
	CloseForGood  bool          `yaml:"close_for_good" name:"close-for-good" help:"Tell clients that the application closes not to reconnect. By default they may, as in Azure's emulator."`
	OnConnected   string        `yaml:"on_connected_failure" name:"on-connected-failure" default:"ignore" enum:"ignore,close" help:"What becomes of a connection whose connected event fails upstream: ${enum}. After 401 and 403 it is always closed."`
	Timeout       time.Duration `yaml:"upstream_timeout" name:"upstream-timeout" default:"100s" help:"How long an event may take upstream, waiting and retries included."`
	Concurrency   int           `yaml:"upstream_concurrency" name:"upstream-concurrency" default:"128" help:"Most requests at once to one upstream."`
	Retries       int           `yaml:"upstream_retries" name:"upstream-retries" default:"0" help:"How often an event is tried again, with back-off, after a failure to connect or an answer of 429 or 5xx."`
	Upstream      []Upstream    `yaml:"upstream" kong:"-" help:"Where events of clients go, in the file only: the first whose patterns match. A pattern is *, a name, or names separated by commas; the URL may hold {hub}, {category}, {event}, and secret references such as {env:NAME}."`
}

// Upstream is one webhook, as Azure's upstream templates have it.
type Upstream struct {
	URL      string `yaml:"url"`
	Hub      string `yaml:"hub"`      // default *
	Category string `yaml:"category"` // default *; connections or messages
	Event    string `yaml:"event"`    // default *; connected, disconnected, or a method
}

// UnmarshalYAML fills in the patterns that aren't given.
func (u *Upstream) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Upstream
	p := plain{Hub: "*", Category: "*", Event: "*"}
	if err := unmarshal(&p); err != nil {
		return err
	}
	*u = Upstream(p)
	return nil
}

// validate reports what is wrong, by bad(key, …).
func (s *Service) validate(bad func(key, format string, args ...any)) {
	for _, k := range s.AccessKey {
		if !strings.Contains(k, ":") {
			bad("access_key", "is a secret itself; give a reference such as env:NAME or file:/path")
		}
	}
	for key, n := range map[string]int{"max_groups_per_connection": s.MaxGroups, "max_queue_bytes": s.MaxQueue, "upstream_concurrency": s.Concurrency} {
		if n < 1 {
			bad(key, "must be at least 1")
		}
	}
	if s.MaxMessage < 1024 {
		bad("max_message_bytes", "must be at least 1024, or handshakes fail")
	}
	if s.MaxRate <= 0 {
		bad("max_message_rate", "must be positive")
	}
	if s.Timeout < time.Second {
		bad("upstream_timeout", "must be at least 1s")
	}
	if s.Retries < 0 || s.Retries > 10 {
		bad("upstream_retries", "must be 0 to 10")
	}
	for i, u := range s.Upstream {
		// Templates and references are not parsed here; that it is a URL for HTTP is.
		plain := strings.NewReplacer("{", "", "}", "").Replace(u.URL)
		if p, err := url.Parse(plain); u.URL == "" || (err == nil && p.Scheme != "http" && p.Scheme != "https" && !strings.HasPrefix(u.URL, "{")) {
			bad("upstream", "%s has no http or https URL", fmt.Sprintf("number %d", i+1))
		}
	}
}
