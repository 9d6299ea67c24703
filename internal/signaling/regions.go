package signaling

import (
	"net/http"

	"causeway/internal/httpx"
	"causeway/internal/token"
)

// Region is one of several complete deployments that share the signing key, so that each can serve
// any session. Those who meet in a session all connect to its home, or all to the same alternative
// (docs/protocol.md §3.1). As signaling keeps no state, nothing has to be moved for that.
type Region struct {
	Name string `json:"name"`
	URL  string `json:"url"` // origin of its API
}

// Regions are all of them, in the order that each of them is configured with; the zero value is
// a deployment that is the only one.
type Regions struct {
	All []Region
	Own int // place in All of the one that this is
}

// home is what the invites of sessions made here say.
func (r Regions) home() int {
	if len(r.All) == 0 {
		return 0
	}
	return r.Own + 1
}

// from returns the regions of a session in their order: its home, then those after it in turn.
// Links of before there were regions, or of more than there are, are the first one's.
func (r Regions) from(home int) []Region {
	first := home - 1
	if first < 0 || first >= len(r.All) {
		first = 0
	}
	return append(append([]Region(nil), r.All[first:]...), r.All[:first]...)
}

func names(regions []Region) []string {
	list := make([]string, len(regions))
	for i, one := range regions {
		list[i] = one.Name
	}
	return list
}

// List answers with the regions: to pages, which choose by whoever answers first, and find out by
// the same whether a region is back.
func (r Regions) List() httpx.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		all := r.All
		if all == nil {
			all = []Region{}
		}
		return httpx.WriteJSON(w, http.StatusOK, struct {
			Regions []Region `json:"regions"`
		}{all})
	}
}

func checkRegions(r Regions) bool {
	return len(r.All) <= token.MaxRegions && (len(r.All) == 0 || r.Own >= 0 && r.Own < len(r.All))
}
