// Package query reads the query string of a client's request to a hub: which hub,
// which connection, which token. Names are matched without case, and the first of
// several values counts, as in ASP.NET; two hubs are an error, as in Azure.
package query

import (
	"errors"
	"net/url"
	"strings"
)

// Query is what a query string says to us.
type Query struct {
	Hub     string // lower case
	ID      string // the connection token
	Token   string // access_token
	Version string // negotiateVersion, as it came
	Resume  bool   // useStatefulReconnect
	Rest    string // the query without ID and Token, with leading '?'
}

// Parse parses the query string, without '?'. Its errors have texts for clients.
func Parse(raw string) (Query, error) {
	var q Query
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
			first(&ids, &q.ID, value)
			continue
		case "access_token":
			first(&tokens, &q.Token, value)
			continue
		case "hub":
			first(&hubs, &q.Hub, value)
		case "negotiateversion":
			first(&versions, &q.Version, value)
		case "usestatefulreconnect":
			var v string
			if first(&resumes, &v, value); resumes == 1 {
				q.Resume = strings.EqualFold(v, "true")
			}
		}
		if pair != "" {
			if rest.Len() == 0 {
				rest.Grow(len("?") + len(pair) + len("&negotiateVersion=1")) // what is usual, at once
				rest.WriteByte('?')
			} else {
				rest.WriteByte('&')
			}
			rest.WriteString(pair)
		}
	}
	if hubs > 1 {
		return q, errors.New("more than one hub parameter")
	}
	q.Hub = strings.ToLower(q.Hub)
	q.Rest = rest.String()
	return q, nil
}
