package app

import (
	"net/http"
	"slices"
	"strings"

	"causeway/internal/config"
	"causeway/internal/httpx"
	"causeway/internal/signaling"
)

// regionsPath is where pages read which regions there are. It comes with the pages, as a file where
// those are served by something else.
const regionsPath = "GET /regions.json"

// regionsOf returns the configured regions as signaling has them.
func regionsOf(cfg config.Config) signaling.Regions {
	all, own := cfg.Places.All()
	r := signaling.Regions{Own: own}
	for _, one := range all {
		r.All = append(r.All, signaling.Region{Name: one.Name, URL: one.URL})
	}
	return r
}

// apiOrigins are the origins whose pages may use the API: the configured ones, and where the
// regions are, each other's pages.
func apiOrigins(cfg config.Config) []string {
	list := append(slices.Clone(cfg.APIOrigin), cfg.Places.Origins()...)
	if len(cfg.Places.Regions) > 0 && cfg.PublicURL != "" {
		list = append(list, strings.TrimRight(cfg.PublicURL, "/"))
	}
	return list
}

// regionRoutes adds the list of regions to the pages.
func (a *App) regionRoutes(mux *http.ServeMux) {
	if r := regionsOf(a.cfg); len(r.All) > 0 {
		mux.Handle(regionsPath, httpx.Handler(a.log, r.List()))
	}
}
