package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"causeway/internal/secret"
)

// maxTemplates bounds the upstreams of a configuration.
const maxTemplates = 64

// Template is an upstream as it is configured (spec §5.1). Patterns are "*" (or
// empty), a name, or names with commas between them; hubs match in any case,
// categories ("connections", "messages") and events exactly.
type Template struct {
	// URL may hold {hub}, {category} and {event}, which are percent-encoded, after
	// the host; and secret references in braces anywhere, which are inserted as
	// they are (see secret.Split).
	URL      string
	Hub      string
	Category string
	Event    string
	// Resource is what a token of a managed identity is asked for; empty: none.
	Resource string
}

// ParseTemplates parses the settings of Azure (properties.upstream.templates of
// an ARM resource, or what is below it) and the settings file of its emulator
// ({"UpstreamSettings":{"Templates":[…]}}).
func ParseTemplates(text []byte) ([]Template, error) {
	type item struct {
		URLTemplate                               string
		HubPattern, CategoryPattern, EventPattern string
		Auth                                      struct {
			Type            string
			ManagedIdentity struct{ Resource string }
		}
	}
	type list struct{ Templates []item }
	var file struct {
		list
		UpstreamSettings, Upstream list
		Properties                 struct{ Upstream list }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, errors.New("parse upstream settings: not the JSON of an Azure resource or of the emulator's settings")
	}
	var out []Template
	for _, l := range []list{file.list, file.UpstreamSettings, file.Upstream, file.Properties.Upstream} {
		for i, t := range l.Templates {
			made := Template{URL: t.URLTemplate, Hub: t.HubPattern, Category: t.CategoryPattern, Event: t.EventPattern}
			switch strings.ToLower(t.Auth.Type) {
			case "", "none":
			case "managedidentity":
				if made.Resource = t.Auth.ManagedIdentity.Resource; made.Resource == "" {
					return nil, fmt.Errorf("parse upstream settings: template %d: Auth.ManagedIdentity has no Resource", i)
				}
			default:
				return nil, fmt.Errorf("parse upstream settings: template %d: Auth.Type: want None or ManagedIdentity", i)
			}
			out = append(out, made)
		}
	}
	return out, nil
}

// target is a compiled Template: what matches, and the URL in pieces.
type target struct {
	hub, category, event pattern
	pieces               []piece
}

// piece of a URL: a literal, or a parameter ("hub", "category", "event").
type piece struct{ literal, parameter string }

// compile resolves the template's secrets. Errors never hold the URL, which may
// hold secrets.
func (t Template) compile(ctx context.Context, secrets secret.Resolver) (target, error) {
	parts, err := secret.Split(t.URL)
	if err != nil {
		return target{}, err
	}
	out := target{hub: parsePattern(strings.ToLower(t.Hub)), category: parsePattern(t.Category), event: parsePattern(t.Event)}
	for _, p := range parts {
		if p.Ref.IsZero() {
			pieces, err := splitParameters(p.Literal)
			if err != nil {
				return target{}, err
			}
			out.pieces = append(out.pieces, pieces...)
			continue
		}
		v, err := secrets.Resolve(ctx, p.Ref)
		if err != nil {
			return target{}, err
		}
		out.pieces = append(out.pieces, piece{literal: v.Reveal()})
	}
	return out, out.check()
}

var (
	errParameter = errors.New("unknown parameter in braces: want {hub}, {category}, {event} or a secret reference")
	errURL       = errors.New("want an absolute http or https URL, without a fragment and without . and .. in its path")
	errAuthority = errors.New("parameters may only stand after the host: clients choose their values")
)

func splitParameters(text string) ([]piece, error) {
	var out []piece
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return append(out, piece{literal: text}), nil
		}
		end := strings.IndexByte(text[open:], '}')
		if end < 0 {
			return nil, errParameter
		}
		name := text[open+1 : open+end]
		if name != "hub" && name != "category" && name != "event" {
			return nil, errParameter
		}
		if open > 0 {
			out = append(out, piece{literal: text[:open]})
		}
		out = append(out, piece{parameter: name})
		text = text[open+end+1:]
	}
	return out, nil
}

// check builds the URL with two sets of values: both must be URLs, of one host.
func (t target) check() error {
	a, err := t.url("a", "a", "a")
	if err != nil {
		return errURL
	}
	b, err := t.url("b", "b", "b")
	if err != nil {
		return errURL
	}
	if a.Host != b.Host || a.User.String() != b.User.String() || a.Scheme != b.Scheme {
		return errAuthority
	}
	return nil
}

// url is the URL for an event. It fails if the values would make the path climb:
// a dot segment is resolved by whoever is on the way.
func (t target) url(hub, category, event string) (*url.URL, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		switch p.parameter {
		case "hub":
			b.WriteString(escape(hub))
		case "category":
			b.WriteString(escape(category))
		case "event":
			b.WriteString(escape(event))
		default:
			b.WriteString(p.literal)
		}
	}
	if b.Len() > maxURIBytes {
		return nil, errURL
	}
	u, err := url.Parse(b.String())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return nil, errURL
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if plain, err := url.PathUnescape(segment); err != nil || plain == "." || plain == ".." {
			return nil, errURL
		}
	}
	return u, nil
}

// escape encodes everything but RFC 3986's unreserved characters, so that a value
// is one segment of a path or one value of a query, wherever it stands.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// pattern matches names; nil matches all.
type pattern []string

func parsePattern(text string) pattern {
	var out pattern
	for name := range strings.SplitSeq(text, ",") {
		switch name = strings.TrimSpace(name); name {
		case "*":
			return nil
		case "":
		default:
			out = append(out, name)
		}
	}
	return out
}

func (p pattern) match(name string) bool {
	for _, want := range p {
		if want == name {
			return true
		}
	}
	return p == nil
}

func (t target) match(hub, category, event string) bool {
	return t.hub.match(hub) && t.category.match(category) && t.event.match(event)
}
