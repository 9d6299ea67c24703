package app

import (
	"crypto/tls"
	"net"

	"causeway/internal/front"
	"causeway/internal/realtime/hub"
	"causeway/internal/relay/demux"
)

// share lets the relay have its part of the TLS listeners.
func (a *App) share() {
	if a.tls == nil || a.relay == nil {
		return
	}
	a.tls = a.tls.Clone()
	a.tls.NextProtos = append(a.tls.NextProtos, demux.ALPN)
	for _, l := range a.listeners {
		d := demux.New(l, a.tls)
		a.shared = append(a.shared, d)
		a.relay.Attach(d.Relay(), true)
	}
}

// openFronts has clients of the realtime service connect without net/http, where there
// is no TLS.
func (a *App) openFronts() {
	for _, l := range a.listeners {
		tcp, ok := l.(*net.TCPListener)
		if !ok || a.tls != nil {
			return
		}
		a.fronts = append(a.fronts, front.New(tcp, front.Config{
			Handler:       a.http.Handler,
			Quick:         hub.Quick,
			HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeader: maxHeaderBytes,
			Logger:     a.log.With("part", "http"),
			Registerer: a.ops.Registry,
		}))
	}
}

// requestsOf returns where the HTTP server gets its connections from, for a listener.
func (a *App) requestsOf(i int, l net.Listener) net.Listener {
	switch {
	case a.fronts != nil:
		return a.fronts[i].HTTP()
	case a.shared != nil:
		return a.shared[i].HTTP()
	case a.tls != nil:
		return tls.NewListener(l, a.tls)
	}
	return l
}
