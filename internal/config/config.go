// Package config is Causeway's configuration: one struct, whose tags are the one
// place where a setting's name, default, environment variable and help stand.
//
// A setting is a flag (--turn-listen), an environment variable
// (CAUSEWAY_TURN_LISTEN) and a key of the YAML file (turn_listen); flags win over
// the environment, that over the file, that over the defaults. The CLI reads the
// tags for its flags; this package reads them for the defaults and the reference.
// Unknown keys are errors. A secret is given by reference, never literally.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is the whole configuration of `causeway serve`.
type Config struct {
	HTTP     `yaml:",inline" embed:""`
	TLS      `yaml:",inline" embed:""`
	Session  `yaml:",inline" embed:""`
	Relay    `yaml:",inline" embed:""`
	Budget   `yaml:",inline" embed:""`
	Nodes    `yaml:",inline" embed:""`
	Service  `yaml:",inline" embed:""`
	Azure    `yaml:",inline" embed:""`
	Guard    `yaml:",inline" embed:""`
	DemoChat `yaml:",inline" embed:""`
	Places   `yaml:",inline" embed:""`
	Operator `yaml:",inline" embed:""`
	Process  `yaml:",inline" embed:""`

	Statistics `yaml:",inline" embed:""`

	Realtime bool `yaml:"realtime" help:"Offer the realtime service to other applications as well: the data plane under /api/, any hub but our own, upstream webhooks."`
}

// HTTP is where and as what the server is reached.
type HTTP struct {
	Listen       string         `yaml:"listen" default:"localhost:8080" help:"Address of the pages, the API and the realtime service. Without a host: all interfaces. Port 0 picks a free one."`
	PublicURL    string         `yaml:"public_url" placeholder:"URL" help:"Origin that invite links begin with, such as https://send.example.org. By default the origin at which the sender reached the server, or a LAN address where that is localhost and the server listens there."`
	TrustedProxy []netip.Prefix `yaml:"trusted_proxy" placeholder:"PREFIX" help:"Addresses (CIDR) of reverse proxies whose X-Forwarded-For, -Proto and -Host are believed."`
	MaxConns     int            `yaml:"max_connections" name:"max-connections" default:"10000" help:"Most realtime connections at once."`
	MaxPerAddr   int            `yaml:"max_connections_per_address" name:"max-connections-per-address" default:"200" help:"Most realtime connections at once from one address."`
}

// TLS turns on HTTPS, from files or from an ACME authority.
type TLS struct {
	Cert       string   `yaml:"tls_cert" name:"tls-cert" placeholder:"FILE" help:"Certificate chain (PEM) for HTTPS. Read again when the file changes."`
	Key        string   `yaml:"tls_key" name:"tls-key" placeholder:"FILE" help:"Key (PEM) of the certificate."`
	ACMEDomain []string `yaml:"acme_domain" name:"acme-domain" placeholder:"NAME" help:"Get certificates for these names from an ACME authority. The server must be reachable on port 443 (--listen :443) under each."`
	ACMEEmail  string   `yaml:"acme_email" name:"acme-email" placeholder:"ADDRESS" help:"Contact for the ACME authority."`
	ACMECA     string   `yaml:"acme_ca" name:"acme-ca" placeholder:"URL" help:"Directory URL of the ACME authority. By default Let's Encrypt."`
	ACMERoot   string   `yaml:"acme_root" name:"acme-root" placeholder:"FILE" help:"Root certificate (PEM) of the ACME authority, if it is a private one."`
}

// Session is what a session allows.
type Session struct {
	Lifetime time.Duration `yaml:"session_lifetime" name:"session-lifetime" default:"24h" help:"How long an invite link is valid."`
	Seats    int           `yaml:"seats" default:"8" help:"How many receivers the sender admits per link, one after another."`
	Members  int           `yaml:"room_members" name:"room-members" default:"12" help:"How many members a chat room holds, 2 to 16. Each of them is connected with each other."`
}

// Relay is the STUN and TURN server.
type Relay struct {
	TURNListen string        `yaml:"turn_listen" name:"turn-listen" default:":3478" help:"Address of STUN and TURN, UDP and TCP. Port 0 picks a free one, \"off\" switches the relay off."`
	PublicIP   netip.Addr    `yaml:"public_ip" name:"public-ip" placeholder:"ADDRESS" help:"Address under which peers reach the relay. Found by itself for loopback and LAN use; set it on a server behind NAT."`
	RelayPorts PortRange     `yaml:"relay_ports" name:"relay-ports" default:"49152-65535" help:"UDP ports for relayed addresses."`
	RelayGrace time.Duration `yaml:"relay_grace" name:"relay-grace" default:"20s" help:"How long a peer whose signaling connection is lost keeps the use of the relay."`
	STUN       []string      `yaml:"stun_server" name:"stun-server" placeholder:"URL" help:"STUN servers to offer beside the built-in one, such as stun:stun.example.org:3478."`
}

// Process is how the process runs.
type Process struct {
	DataDir      string        `yaml:"data_dir" name:"data-dir" placeholder:"DIR" help:"Where keys and state are kept. By default $STATE_DIRECTORY, $XDG_STATE_HOME/causeway or ~/.local/state/causeway."`
	SigningKey   string        `yaml:"signing_key" name:"signing-key" placeholder:"REF" help:"Secret reference (env:NAME, file:/path) to 32 bytes, base64, that sign links and grants. By default a key made once and kept in the data directory. Servers that share links share the key."`
	LogLevel     string        `yaml:"log_level" name:"log-level" default:"info" enum:"debug,info,warn,error" help:"Least level to log: ${enum}."`
	LogFormat    string        `yaml:"log_format" name:"log-format" default:"text" enum:"text,json" help:"Form of the log: ${enum}."`
	DrainTimeout time.Duration `yaml:"drain_timeout" name:"drain-timeout" default:"10s" help:"How long SIGTERM waits for running requests and connections."`
}

// PortRange is an inclusive range of UDP ports, as text "FIRST-LAST".
type PortRange struct{ First, Last uint16 }

// UnmarshalText parses "FIRST-LAST".
func (p *PortRange) UnmarshalText(b []byte) error {
	var first, last uint16
	if n, err := fmt.Sscanf(string(b), "%d-%d", &first, &last); err != nil || n != 2 || first == 0 || last < first || fmt.Sprintf("%d-%d", first, last) != string(b) {
		return fmt.Errorf("%q is not a port range such as 49152-65535", b)
	}
	*p = PortRange{first, last}
	return nil
}

// MarshalText is the reverse of UnmarshalText.
func (p PortRange) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d-%d", p.First, p.Last), nil
}

// TURNOff is the value of TURNListen that switches the relay off.
const TURNOff = "off"

// Default returns the configuration that the default tags describe.
func Default() (Config, error) {
	var c Config
	for _, f := range fields(reflect.ValueOf(&c).Elem()) {
		text, ok := f.tag.Lookup("default")
		if !ok {
			continue
		}
		if err := yaml.Unmarshal([]byte(`"`+text+`"`), f.value.Addr().Interface()); err != nil {
			if err := yaml.Unmarshal([]byte(text), f.value.Addr().Interface()); err != nil {
				return Config{}, fmt.Errorf("default of %s: %w", f.key, err)
			}
		}
	}
	return c, nil
}

// Load returns the defaults overlaid with a YAML file.
func Load(r io.Reader) (Config, error) {
	c, err := Default()
	if err != nil {
		return Config{}, err
	}
	return c, decode(r, &c)
}

func decode(r io.Reader, c *Config) error {
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) { // an empty file is no error
		return fmt.Errorf("read configuration: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return nil
}

// FileValues returns what a YAML file sets, by flag name, as the text that the flag
// would take (lists joined by commas). The file has been checked as Load does.
func FileValues(r io.Reader) (map[string]string, error) {
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if _, err := Load(bytes.NewReader(b)); err != nil {
		return nil, err
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	values := map[string]string{}
	for key, v := range raw {
		if key == "upstream" || key == "provider" || key == "relay_node" { // no flag
			continue
		}
		text := fmt.Sprint(v)
		if list, ok := v.([]any); ok {
			parts := make([]string, len(list))
			for i, e := range list {
				parts[i] = fmt.Sprint(e)
			}
			text = strings.Join(parts, ",")
		}
		values[strings.ReplaceAll(key, "_", "-")] = text
	}
	return values, nil
}

// Validate reports everything that is wrong with c, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	hostPort := func(key, v string) {
		if _, _, err := net.SplitHostPort(v); err != nil {
			bad(key, "%q is not HOST:PORT", v)
		}
	}
	hostPort("listen", c.Listen)
	if c.TURNListen != TURNOff {
		hostPort("turn_listen", c.TURNListen)
	}
	for _, s := range c.STUN {
		if !strings.HasPrefix(s, "stun:") && !strings.HasPrefix(s, "stuns:") {
			bad("stun_server", "%q is not a URL such as stun:stun.example.org:3478", s)
		}
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			bad("public_url", "%q is not an origin such as https://send.example.org", c.PublicURL)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("tls_cert", "tls_cert and tls_key go together")
	}
	if c.Cert != "" && len(c.ACMEDomain) > 0 {
		bad("acme_domain", "give either a certificate or an ACME domain")
	}
	for key, n := range map[string]int{"seats": c.Seats, "max_connections": c.MaxConns, "max_connections_per_address": c.MaxPerAddr} {
		if n < 1 {
			bad(key, "must be at least 1")
		}
	}
	if c.Members < 2 || c.Members > 16 {
		bad("room_members", "must be 2 to 16")
	}
	for key, d := range map[string]time.Duration{"session_lifetime": c.Lifetime, "relay_grace": c.RelayGrace} {
		if d < time.Second {
			bad(key, "must be at least 1s")
		}
	}
	if c.DrainTimeout < 0 {
		bad("drain_timeout", "must not be negative")
	}
	unresolved(c, bad)
	for _, validate := range []func(func(key, format string, args ...any)){
		c.Service.validate, c.Azure.validate, c.Budget.validate, c.DemoChat.validate, c.Statistics.validate, c.Guard.validate, c.Operator.validate,
	} {
		validate(bad)
	}
	c.Nodes.validate(bad, c.Provider)
	c.Places.validate(bad, c.SigningKey)
	return errors.Join(errs...)
}

// DefaultDataDir returns where state is kept if the configuration doesn't say.
func DefaultDataDir() string {
	if d := os.Getenv("STATE_DIRECTORY"); d != "" { // set by systemd
		return d
	}
	if d := os.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "causeway")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "causeway")
	}
	return "causeway-data"
}
