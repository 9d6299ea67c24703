package hub

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/realtime/hub/offer"
)

// identity is what an access token says of its bearer (§1.5).
type identity struct {
	user      string
	claims    map[string]string
	handshake int   // asrs.s.cht: seconds; 0 is not given
	gap       int   // asrs.s.ttl: seconds between long polls; 0 is not given
	closeAt   int64 // asrs.s.aeo, if asrs.s.coae: unix seconds; 0 is never
	token     string
	expires   time.Time
	// transports that asrs.s.htt allows; 0 is all.
	transports offer.Transports
	detailed   bool // asrs.s.derror: the client may read what errors say
}

// authenticate checks a client's access token for the hub.
func (h *Hub) authenticate(token, hubName string) (identity, error) {
	if token == "" {
		return identity{}, accesskey.ErrToken
	}
	client, err := accesskey.Verifier{Keys: h.cfg.Keys, Hosts: h.cfg.Hosts}.Client(token, hubName)
	if err != nil {
		return identity{}, err
	}
	id := identity{user: client.User, token: token, expires: client.Expires}
	number := func(name string, low, high int) int {
		n, err := strconv.Atoi(claimText(client.All[name]))
		if err != nil {
			return 0
		}
		return min(max(n, low), high)
	}
	id.handshake = number("asrs.s.cht", 1, 30)
	id.gap = number("asrs.s.ttl", 1, 300)
	id.transports = offer.Transports(number("asrs.s.htt", 0, int(offer.All)))
	id.detailed = strings.EqualFold(claimText(client.All["asrs.s.derror"]), "true")
	if strings.EqualFold(claimText(client.All["asrs.s.coae"]), "true") {
		id.closeAt, _ = strconv.ParseInt(claimText(client.All["asrs.s.aeo"]), 10, 64) // 0 if it is nonsense
	}
	if len(client.Custom) > 0 {
		id.claims = client.Custom
	}
	return id, nil
}

// claimText is a scalar claim as text.
func claimText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// sign makes an access token for clients of the hub.
func (h *Hub) sign(origin, hubName string, c realtime.Claims) (string, error) {
	keys := h.cfg.Keys()
	if len(keys) == 0 {
		return "", errors.New("no access key")
	}
	return accesskey.SignClient(keys[0], origin, hubName, c)
}
