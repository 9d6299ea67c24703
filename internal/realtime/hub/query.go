package hub

import (
	"errors"
	"net/url"
	"strings"
)

// query is what the query string of a client's request says to us. Names are
// matched without case, and the first of several values counts, as in ASP.NET.
type query struct {
	hub, id, token string
	version        string // negotiateVersion
	resume         bool   // useStatefulReconnect
	rest           string // the query without id and token, with leading '?'
}

var errHubs = errors.New("more than one hub parameter")

func readQuery(raw string) (query, error) {
	var q query
	var hubs, ids, tokens, versions, resumes int
	var rest strings.Builder
	first := func(n *int, dst *string, v string) {
		if *n++; *n == 1 {
			*dst = v
		}
	}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return q, errors.New("malformed query")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return q, errors.New("malformed query")
		}
		switch strings.ToLower(name) {
		case "id":
			first(&ids, &q.id, value)
			continue
		case "access_token":
			first(&tokens, &q.token, value)
			continue
		case "hub":
			first(&hubs, &q.hub, value)
		case "negotiateversion":
			first(&versions, &q.version, value)
		case "usestatefulreconnect":
			var v string
			if first(&resumes, &v, value); resumes == 1 {
				q.resume = strings.EqualFold(v, "true")
			}
		}
		if pair != "" {
			if rest.Len() == 0 {
				rest.WriteByte('?')
			} else {
				rest.WriteByte('&')
			}
			rest.WriteString(pair)
		}
	}
	if hubs > 1 {
		return q, errHubs
	}
	q.hub = strings.ToLower(q.hub)
	q.rest = rest.String()
	return q, nil
}
