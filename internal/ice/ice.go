// Package ice says which ICE servers a peer should use, and gets credentials for those
// that need one.
//
// An Issuer makes a credential for one member of a session at a time, that can be revoked and
// whose bytes are counted, as far as whoever relays lets it: Own, for grants at Causeway's
// relay; Coturn; Metered; Cloudflare. What each is worth it says by its Capabilities. A Chain
// asks them in order.
//
// What is minted is what a browser's RTCPeerConnection takes as iceServers, and it goes to the
// client as it is. So an Issuer puts nothing into it that another party may not see: TURN
// usernames cross the network in clear, and carry no member's id.
//
// Answers of bought providers are hostile until read: bounded, without redirects, and
// stripped of what browsers choke on. Keys travel to their provider only, and are in no
// error.
package ice

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Server is an RTCIceServer as RTCPeerConnection takes it (WebRTC 1.0 §4.2.4).
type Server struct {
	URLs       []string `json:"urls"`                 // stun:, stuns:, turn: or turns: (RFC 7064, RFC 7065)
	Username   string   `json:"username,omitempty"`   // for TURN
	Credential string   `json:"credential,omitempty"` // the password that goes with it
}

const (
	defaultLife = 10 * time.Minute
	maxLife     = 24 * time.Hour
)

// CheckSTUN tells what is wrong with a STUN URL: RFC 7064 has scheme, host and
// optionally port, nothing else. Browsers refuse a whole configuration for one bad URL.
func CheckSTUN(u string) error {
	scheme, rest, _ := strings.Cut(u, ":")
	if scheme != "stun" && scheme != "stuns" {
		return fmt.Errorf("stun url %q: want stun:host or stun:host:port", u)
	}
	host := rest
	if h, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("stun url %q: port %q is none", u, port)
		}
		host = h
	} else if h, ok := strings.CutPrefix(rest, "["); ok && strings.HasSuffix(h, "]") {
		host = strings.TrimSuffix(h, "]")
	} else if strings.Contains(rest, ":") {
		return fmt.Errorf("stun url %q: an IPv6 address goes in brackets", u)
	}
	if host == "" || strings.ContainsAny(host, "/?#@[] \t\r\n") {
		return fmt.Errorf("stun url %q: want stun:host or stun:host:port", u)
	}
	return nil
}
