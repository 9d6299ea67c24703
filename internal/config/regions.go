package config

import (
	"net/url"
	"slices"
	"strings"
)

// Places are the regions that serve the same sessions, each a complete deployment.
type Places struct {
	Region  string   `yaml:"region" placeholder:"NAME" help:"Which of regions this one is."`
	Regions []string `yaml:"regions" placeholder:"NAME=URL" help:"Complete deployments that serve the same sessions, each with the origin of its API, such as eu=https://eu.example.org; the same list in the same order everywhere, with the same signing_key. New ones go to the end."`
}

// maxRegions is what fits into an invite.
const maxRegions = 15

// Place is one region.
type Place struct{ Name, URL string }

// All returns the regions, and which of them this one is. The configuration is valid.
func (p *Places) All() (all []Place, own int) {
	for i, text := range p.Regions {
		name, address, _ := strings.Cut(text, "=")
		all = append(all, Place{name, strings.TrimRight(address, "/")})
		if name == p.Region {
			own = i
		}
	}
	return all, own
}

// Origins returns those of the regions' APIs.
func (p *Places) Origins() (list []string) {
	all, _ := p.All()
	for _, one := range all {
		list = append(list, one.URL)
	}
	return list
}

// validate reports what is wrong, by bad(key, …). signingKey is the setting,
// which regions share.
func (p *Places) validate(bad func(key, format string, args ...any), signingKey string) {
	if signingKey != "" && !strings.Contains(signingKey, ":") {
		bad("signing_key", "is a secret itself; give a reference such as env:NAME or file:/path")
	}
	if len(p.Regions) == 0 {
		if p.Region != "" {
			bad("region", "says which of regions this one is, and there are none")
		}
		return
	}
	if len(p.Regions) > maxRegions {
		bad("regions", "are more than %d", maxRegions)
	}
	if signingKey == "" {
		bad("signing_key", "is needed where there are regions, as they share it")
	}
	var names, addresses []string
	for _, text := range p.Regions {
		name, address, _ := strings.Cut(text, "=")
		if name == "" || len(name) > maxRegion || strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) {
			bad("regions", "%q is not NAME=URL with a name of up to %d of a-z, 0-9 and -", text, maxRegion)
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.TrimRight(address, "/") != u.Scheme+"://"+u.Host {
			bad("regions", "%q is not NAME=URL with an origin such as https://eu.example.org", text)
		} else if slices.Contains(addresses, u.Host) || slices.Contains(names, name) {
			bad("regions", "%q is there twice", text)
		} else {
			names, addresses = append(names, name), append(addresses, u.Host)
		}
	}
	if !slices.Contains(names, p.Region) {
		bad("region", "%q is none of regions; each deployment has to say which it is", p.Region)
	}
}
