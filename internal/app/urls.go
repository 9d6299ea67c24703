package app

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"causeway/internal/app/place"
	"causeway/internal/ice"
)

// URLs returns the addresses under which the pages are to be opened.
func (a *App) URLs() []string {
	var lan netip.Addr
	if a.place.Host == "" {
		lan = place.LAN()
	}
	return a.place.URLs(lan)
}

// ConnectionString returns what applications that use the realtime service are
// configured with; empty if it isn't offered, or has a configured key, which is
// never printed.
func (a *App) ConnectionString() string {
	if a.service == nil {
		return ""
	}
	text, _ := a.service.ConnectionString(a.URLs()[0])
	return text
}

// RelayURLs returns the relay's addresses as ICE server URLs; none if it is off. TURN
// over TLS is among them if there is a name that a certificate may be for.
func (a *App) RelayURLs() []string {
	if a.relay == nil {
		return nil
	}
	urls := a.relay.URLs()
	if name := a.certified(); name != "" && len(a.shared) > 0 {
		urls = append(urls, "turns:"+net.JoinHostPort(name, strconv.Itoa(a.place.Port))+"?transport=tcp")
	}
	return urls
}

// certified is the name that clients check the certificate against; empty if it is not
// known.
func (a *App) certified() string {
	if len(a.cfg.ACMEDomain) > 0 {
		return a.cfg.ACMEDomain[0]
	}
	if u, err := url.Parse(a.cfg.PublicURL); err == nil && u.Scheme == "https" {
		return u.Hostname()
	}
	return ""
}

// stunServers are the ICE servers that need no credential: our relay, and what is configured.
func (a *App) stunServers() []ice.Server {
	urls := slices.DeleteFunc(a.RelayURLs(), func(u string) bool { return strings.HasPrefix(u, "turn") })
	if urls = append(urls, a.cfg.STUN...); len(urls) == 0 {
		return nil
	}
	return []ice.Server{{URLs: urls}}
}
