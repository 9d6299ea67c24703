package accesskey

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"causeway/internal/secret"
)

// ConnectionString is what a connection string says (spec §1.6). Printing it
// with fmt shows no secret; Text does.
type ConnectionString struct {
	// Endpoint is scheme://host[:port], without a slash at its end. A Port of
	// its own in the text is part of it here.
	Endpoint string
	// Key is the access key, the zero Value if another AuthType is used.
	Key secret.Value
	// ClientEndpoint and ServerEndpoint are the addresses that clients and
	// servers connect to if these differ from Endpoint, else empty.
	ClientEndpoint, ServerEndpoint string
	// Version is "1.0" if the text has none.
	Version string
	// AuthType is empty (by key), or aad, azure, azure.msi, azure.app.
	AuthType string
	// Identity holds ClientId, TenantId and the like by lower-case name.
	Identity map[string]secret.Value
}

// maxConnectionString bounds the text, in bytes.
const maxConnectionString = 8 << 10

// ParseConnectionString parses a connection string. Errors name the part that
// is wrong and never hold its value.
func ParseConnectionString(text string) (ConnectionString, error) {
	c, err := parseConnectionString(text)
	if err != nil {
		return ConnectionString{}, fmt.Errorf("connection string: %w", err)
	}
	return c, nil
}

func parseConnectionString(text string) (ConnectionString, error) {
	parts, err := splitParts(text)
	if err != nil {
		return ConnectionString{}, err
	}
	c := ConnectionString{Version: "1.0"}
	if c.Endpoint, err = joinPort(parts["endpoint"], parts["port"]); err != nil {
		return ConnectionString{}, fmt.Errorf("the Endpoint or Port: %w", err)
	}
	if c.ClientEndpoint, err = optionalEndpoint(parts["clientendpoint"]); err != nil {
		return ConnectionString{}, fmt.Errorf("the ClientEndpoint: %w", err)
	}
	if c.ServerEndpoint, err = optionalEndpoint(parts["serverendpoint"]); err != nil {
		return ConnectionString{}, fmt.Errorf("the ServerEndpoint: %w", err)
	}
	if v, has := parts["version"]; has {
		if v != "1" && !strings.HasPrefix(v, "1.") {
			return ConnectionString{}, errors.New("want Version 1.x")
		}
		c.Version = v
	}
	c.Key = secret.New(parts["accesskey"])
	switch c.AuthType = strings.ToLower(parts["authtype"]); c.AuthType {
	case "":
		if c.Key.IsZero() {
			return ConnectionString{}, errors.New("there is no AccessKey")
		}
	case "aad", "azure", "azure.msi", "azure.app":
	default:
		return ConnectionString{}, errors.New("want an AuthType of aad, azure, azure.msi or azure.app")
	}
	for _, name := range identityParts() {
		if v := parts[name]; v != "" {
			if c.Identity == nil {
				c.Identity = map[string]secret.Value{}
			}
			c.Identity[name] = secret.New(v)
		}
	}
	return c, nil
}

func identityParts() []string {
	return []string{"clientid", "clientsecret", "clientcert", "clientcertpath", "tenantid"}
}

// splitParts cuts at ';' and each part at its first '=' (keys end with '='),
// with names in lower case. Names that nobody knows are left alone, as the
// official parser does.
func splitParts(text string) (map[string]string, error) {
	if len(text) > maxConnectionString {
		return nil, fmt.Errorf("it is longer than %d bytes", maxConnectionString)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, errors.New("it holds a control character or a line end")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, found := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !found || name == "" {
			return nil, errors.New("a part is not of the form Name=value")
		}
		if _, has := parts[name]; has {
			return nil, errors.New("a name appears twice")
		}
		parts[name] = strings.TrimSpace(value)
	}
	if len(parts) < 2 {
		return nil, errors.New("want at least Endpoint=…;AccessKey=…;")
	}
	return parts, nil
}

func optionalEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	return joinPort(text, "")
}

// joinPort checks an endpoint and puts port, if any, into it.
func joinPort(endpoint, port string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", errors.New("it is not a URL") // err would repeat the text
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", errors.New("want http://host or https://host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("want no user, query or fragment")
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", errors.New("want a port from 1 to 65535")
		}
		host := u.Hostname()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		u.Host = host + ":" + strconv.FormatUint(n, 10)
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// Text is the connection string with its key in clear, in the order and with
// the ';' at the end that hand-written parsers (/Endpoint=(.*?);/) expect.
func (c ConnectionString) Text() string {
	var b strings.Builder
	part := func(name, value string) {
		if value != "" {
			b.WriteString(name + "=" + value + ";")
		}
	}
	part("Endpoint", c.Endpoint)
	part("AccessKey", c.Key.Reveal())
	part("AuthType", c.AuthType)
	for _, name := range identityParts() {
		part(name, c.Identity[name].Reveal())
	}
	part("ClientEndpoint", c.ClientEndpoint)
	part("ServerEndpoint", c.ServerEndpoint)
	part("Version", c.Version)
	return b.String()
}

// String is Text with the secrets redacted.
func (c ConnectionString) String() string {
	if !c.Key.IsZero() {
		c.Key = secret.New(secret.Redacted)
	}
	identity := c.Identity
	c.Identity = nil
	text := c.Text()
	if len(identity) > 0 {
		text += "identity=" + secret.Redacted + ";"
	}
	return text
}
