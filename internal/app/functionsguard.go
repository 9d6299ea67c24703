package app

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/internal/budget/purse"
	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/token"
)

// admission is the guard of one signing key. Its buckets are this instance's; what is the same at all of
// them is the key of proofs of work, the blocks, and the money.
type admission struct {
	*guard.Guard
	key     []byte
	metrics *prometheus.Registry
}

// newAdmission makes the guard; that of before goes on if the key is still the same.
func (f *Functions) newAdmission(signing []byte, before *parts) (*admission, error) {
	key, err := token.Derive(signing, "work")
	if err != nil {
		return nil, err
	}
	if before != nil && bytes.Equal(before.admission.key, key) {
		return before.admission, nil
	}
	a := &admission{key: key, metrics: prometheus.NewRegistry()}
	cfg := guardConfig(f.cfg)
	cfg.Key, cfg.Registerer = key, a.metrics
	cfg.Refused = func(r guard.Reason) { f.stats.Refused(r.String()) }
	if f.purse != nil {
		cfg.Purse, cfg.Relaying = f.purse, f.purse.Relaying
	} else {
		cfg.Purse, cfg.Relaying = purse.Own{Ledger: f.own}, purse.Own{Ledger: f.own}.Relaying
	}
	if a.Guard, err = guard.New(cfg); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return a, nil
}

// register shows the metrics of a in the place of those of before.
func (a *admission) register(before *parts, at *prometheus.Registry) error {
	if before != nil && before.admission == a {
		return nil
	}
	if before != nil {
		at.Unregister(before.admission.metrics)
	}
	return at.Register(a.metrics)
}

// clientAddr is where a request comes from, by what the proxies of the platform say.
func (f *Functions) clientAddr(r *http.Request) netip.Addr {
	return httpx.ClientBehind(r, f.cfg.ProxyHops)
}
