// Package ops is what an operator looks at: whether the process is alive, whether
// it takes traffic, and its metrics.
package ops

import (
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Ops holds the process's one metrics registry and its readiness.
type Ops struct {
	Registry *prometheus.Registry
	ready    atomic.Bool
}

// New returns an Ops that isn't ready.
func New() *Ops {
	o := &Ops{Registry: prometheus.NewRegistry()}
	o.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "causeway_build_info",
			Help:        "1, with the version as a label.",
			ConstLabels: prometheus.Labels{"version": Version()},
		}, func() float64 { return 1 }),
	)
	return o
}

// SetReady says whether the process wants traffic.
func (o *Ops) SetReady(ready bool) { o.ready.Store(ready) }

// Routes adds /healthz (the process runs), /readyz (it wants traffic; 503 before
// it listens and while it drains) and /metrics to mux.
func (o *Ops) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !o.ready.Load() {
			plain(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
		plain(w, http.StatusOK, "ok\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that went away is nobody to tell
}

// Version returns the version of the build: the module's, or the commit's.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && (version == "" || version == "(devel)") {
			return s.Value[:12]
		}
	}
	if version == "" {
		return "(devel)"
	}
	return version
}
