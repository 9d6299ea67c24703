package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefault(t *testing.T) {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "localhost:8080" || c.Seats != 8 || c.Lifetime != 24*time.Hour || c.RelayPorts != (PortRange{49152, 65535}) || c.PublicIP.IsValid() {
		t.Errorf("%+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	c, err := Load(strings.NewReader("listen: :80\ntrusted_proxy: [10.0.0.0/8, \"::1/128\"]\npublic_ip: 192.0.2.1\nsession_lifetime: 1h30m\nrelay_ports: 5000-6000\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":80" || len(c.TrustedProxy) != 2 || c.PublicIP.String() != "192.0.2.1" || c.Lifetime != 90*time.Minute || c.RelayPorts.Last != 6000 || c.Seats != 8 {
		t.Errorf("%+v", c)
	}
	if _, err := Load(strings.NewReader("")); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	for _, bad := range []string{"listne: :80", "seats: many", "listen: :80\nlisten: :81", "relay_ports: 9-1", "relay_ports: 1-2x", "- a"} {
		if _, err := Load(strings.NewReader(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestUpstreams(t *testing.T) {
	c, err := Load(strings.NewReader("upstream:\n- url: http://127.0.0.1:7071/runtime/webhooks/signalr?code={env:CODE}\n- {url: \"https://x/{event}\", hub: \"a,b\", category: messages, event: \"*\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Upstream{{"http://127.0.0.1:7071/runtime/webhooks/signalr?code={env:CODE}", "*", "*", "*"}, {"https://x/{event}", "a,b", "messages", "*"}}
	if !reflect.DeepEqual(c.Upstream, want) {
		t.Errorf("%+v", c.Upstream)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := Load(strings.NewReader("upstream:\n- {url: http://x, even: y}\n")); err == nil {
		t.Error("an unknown key of an upstream was accepted")
	}
}

func TestFileValues(t *testing.T) {
	v, err := FileValues(strings.NewReader("turn_listen: 0.0.0.0:99\ntrusted_proxy: [10.0.0.0/8, \"::1/128\"]\nseats: 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"turn-listen": "0.0.0.0:99", "trusted-proxy": "10.0.0.0/8,::1/128", "seats": "3"}; !reflect.DeepEqual(v, want) {
		t.Errorf("got %v, want %v", v, want)
	}
	if _, err := FileValues(strings.NewReader("nope: 1")); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestValidate(t *testing.T) {
	cases := map[string]func(*Config){
		"listen":                      func(c *Config) { c.Listen = "8080" },
		"turn_listen":                 func(c *Config) { c.TURNListen = "x" },
		"public_url":                  func(c *Config) { c.PublicURL = "https://a/b" },
		"tls_cert":                    func(c *Config) { c.Cert = "a" },
		"acme_domain":                 func(c *Config) { c.Cert, c.Key, c.ACMEDomain = "a", "b", []string{"c"} },
		"seats":                       func(c *Config) { c.Seats = 0 },
		"room_members":                func(c *Config) { c.Members = 17 },
		"max_connections":             func(c *Config) { c.MaxConns = 0 },
		"max_connections_per_address": func(c *Config) { c.MaxPerAddr = -1 },
		"session_lifetime":            func(c *Config) { c.Lifetime = 0 },
		"relay_grace":                 func(c *Config) { c.RelayGrace = time.Millisecond },
		"stun_server":                 func(c *Config) { c.STUN = []string{"stun.example"} },
		"drain_timeout":               func(c *Config) { c.DrainTimeout = -1 },
		"signing_key":                 func(c *Config) { c.SigningKey = "c2VjcmV0" },
	}
	for key, breakIt := range map[string]func(*Config){
		"access_key":                func(c *Config) { c.AccessKey = []string{"c2VjcmV0"} },
		"max_groups_per_connection": func(c *Config) { c.MaxGroups = 0 },
		"max_queue_bytes":           func(c *Config) { c.MaxQueue = 0 },
		"upstream_concurrency":      func(c *Config) { c.Concurrency = 0 },
		"max_message_bytes":         func(c *Config) { c.MaxMessage = 100 },
		"max_message_rate":          func(c *Config) { c.MaxRate = 0 },
		"upstream_timeout":          func(c *Config) { c.Timeout = 0 },
		"upstream_retries":          func(c *Config) { c.Retries = 11 },
		"upstream":                  func(c *Config) { c.Upstream = []Upstream{{URL: "ftp://x"}} },
	} {
		cases[key] = breakIt
	}
	for key, breakIt := range cases {
		c, err := Default()
		if err != nil {
			t.Fatal(err)
		}
		breakIt(&c)
		err = c.Validate()
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s: %v", key, err)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Error("a secret was echoed")
		}
	}
}

// The reference is a file that Load accepts and that changes nothing.
func TestReference(t *testing.T) {
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Load(strings.NewReader(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	want, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	var printed strings.Builder
	if err := got.Write(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := Load(strings.NewReader(printed.String()))
	if err != nil {
		t.Fatal(err)
	}
	var twice strings.Builder
	if err := again.Write(&twice); err != nil || twice.String() != printed.String() {
		t.Errorf("printed, read and printed again: %v\n%s\n%s", err, printed.String(), twice.String())
	}
	for _, f := range fields(reflect.ValueOf(&got).Elem()) {
		if f.key == "" || f.tag.Get("help") == "" {
			t.Errorf("a setting without key or help: %q", f.key)
		}
	}
}
