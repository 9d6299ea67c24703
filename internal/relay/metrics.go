package relay

import (
	"sync"
	"sync/atomic"

	"causeway/internal/relay/policy"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal says why a request got an error answer.
type refusal string

const (
	refusedUsername     refusal = "username"      // of no form that we mint, or of another node
	refusedGrant        refusal = "grant"         // unknown, or it has ended
	refusedExpired      refusal = "expired"       // a new allocation with an old credential
	refusedElsewhere    refusal = "elsewhere"     // Config.StrictSource
	refusedAnonymous    refusal = "anonymous"     // no credentials: how every client begins
	refusedPassword     refusal = "password"      // message integrity does not match
	refusedNonce        refusal = "nonce"         // of another address, or old
	refusedRequest      refusal = "request"       // an attribute is missing or wrong
	refusedAttribute    refusal = "attribute"     // comprehension-required and unknown
	refusedMethod       refusal = "method"        // RFC 6062
	refusedNoAllocation refusal = "no_allocation" // there is none on the five-tuple
	refusedAllocation   refusal = "allocation"    // there is one on the five-tuple
	refusedUser         refusal = "user"          // the allocation is another user's
	refusedTotal        refusal = "total"         // Limits.Allocations
	refusedHolder       refusal = "holder"        // Limits.AllocationsPerHolder
	refusedSource       refusal = "source"        // Limits.AllocationsPerSource
	refusedDraining     refusal = "draining"      //
	refusedTransport    refusal = "transport"     // other than UDP to peers
	refusedReservation  refusal = "reservation"   // RESERVATION-TOKEN, EVEN-PORT with R
	refusedMobility     refusal = "mobility"      // RFC 8016
	refusedFamily       refusal = "family"        // not served, or not the allocation's
	refusedPort         refusal = "port"          // no free relay port
	refusedPeer         refusal = "peer"          // by the policy; peers_denied_total has the verdict
	refusedPermissions  refusal = "permissions"   // Limits.Permissions
	refusedChannel      refusal = "channel"       // number or peer is bound otherwise
)

// drop says why a packet or connection was dropped; nobody is told.
type drop uint8

const (
	droppedMalformed        drop = iota // neither STUN nor ChannelData
	droppedOversize                     // longer than wire.MaxDatagram
	droppedUnsolicited                  // data from a source without allocation
	droppedChallenge                    // Limits.RequestRate
	droppedConnections                  // Limits.Connections
	droppedConnectionSource             // Limits.ConnectionsPerSource
	droppedConnectionBusy               // Limits.Outbox: a client that does not take what it is sent
	droppedNoPermission                 // to or from a peer without one, or an unbound channel
	droppedPeers                        // more peers than an allocation may have
	droppedGate                         // P3: before a successful ICE check
	droppedBudget                       // nothing leased
	droppedRate                         // bytes or packets per second of a grant
	droppedEnded                        // the grant or allocation has ended
	drops
)

var dropNames = [drops]string{"malformed", "oversize", "unsolicited", "challenge", "connections", "connection_source",
	"connection_busy", "no_permission", "peers", "gate", "budget", "rate", "ended"}

type direction uint8

const (
	toPeer direction = iota
	toClient
	hairpin // between two relayed addresses, inside the process
	directions
)

var directionNames = [directions]string{"to_peer", "to_client", "hairpin"}

type transport uint8

const (
	overUDP transport = iota
	overTCP
	overTLS
	transports
)

var transportNames = [transports]string{"udp", "tcp", "tls"}

// tally is what one goroutine counts. Each has its own, as two cores that count in
// one place wait for each other at each packet.
type tally struct {
	packets, bytes [directions]atomic.Uint64
	drops          [drops]atomic.Uint64
	_              [64]byte
}

func (t *tally) drop(d drop) { t.drops[d].Add(1) }

func (t *tally) relayed(d direction, n int) {
	t.packets[d].Add(1)
	t.bytes[d].Add(uint64(n))
}

// metrics are the server's; it is a prometheus.Collector of what the tallies hold.
type metrics struct {
	live     *prometheus.GaugeVec
	total    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	ends     *prometheus.CounterVec
	foreign  *prometheus.CounterVec
	denied   [][2]prometheus.Counter // by verdict: requests, packets

	packets, bytes, drops *prometheus.Desc

	mu      sync.Mutex
	tallies []*tally // as many as there are workers

	collectors []prometheus.Collector
}

const metricPrefix = "causeway_relay_"

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricPrefix + name, Help: help}, labels)
	}
	desc := func(name, help, label string) *prometheus.Desc {
		return prometheus.NewDesc(metricPrefix+name, help, []string{label}, nil)
	}
	denied := counter("peers_denied_total", "Peers that the policy denied, by verdict, in requests and in packets.", "verdict", "where")
	m := &metrics{
		live: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricPrefix + "allocations",
			Help: "Allocations that are live, by the client's transport."}, []string{"transport"}),
		total:    counter("allocations_total", "Allocations made, by the client's transport.", "transport"),
		refusals: counter("refusals_total", "Requests answered with an error, by reason.", "reason"),
		ends:     counter("grants_ended_total", "Grants that ended, by cause.", "cause"),
		foreign:  counter("foreign_sources_total", "Credentials used from another address prefix than before, by outcome.", "outcome"),
		packets:  desc("packets_total", "Packets relayed, by direction.", "direction"),
		bytes:    desc("bytes_total", "Payload relayed in bytes, by direction.", "direction"),
		drops:    desc("drops_total", "Packets and connections dropped without an answer, by reason.", "reason"),
	}
	for _, name := range transportNames { // there from the start, for dashboards
		m.live.WithLabelValues(name)
	}
	for _, v := range policy.Verdicts() {
		m.denied = append(m.denied, [2]prometheus.Counter{
			denied.WithLabelValues(v.String(), "request"), denied.WithLabelValues(v.String(), "packet"),
		})
	}
	m.collectors = []prometheus.Collector{m.live, m.total, m.refusals, m.ends, m.foreign, denied, m}
	return m
}

func (m *metrics) tally() *tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &tally{}
	m.tallies = append(m.tallies, t)
	return t
}

// relayed is how many packets were.
func (m *metrics) relayed() (n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tallies {
		for i := range t.packets {
			n += t.packets[i].Load()
		}
	}
	return n
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.packets
	ch <- m.bytes
	ch <- m.drops
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := func(d *prometheus.Desc, label string, of func(*tally) *atomic.Uint64) {
		var n uint64
		for _, t := range m.tallies {
			n += of(t).Load()
		}
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	for i, name := range directionNames {
		sum(m.packets, name, func(t *tally) *atomic.Uint64 { return &t.packets[i] })
		sum(m.bytes, name, func(t *tally) *atomic.Uint64 { return &t.bytes[i] })
	}
	for i, name := range dropNames {
		sum(m.drops, name, func(t *tally) *atomic.Uint64 { return &t.drops[i] })
	}
}

func (m *metrics) refuse(r refusal)             { m.refusals.WithLabelValues(string(r)).Inc() }
func (m *metrics) denyRequest(v policy.Verdict) { m.denied[v][0].Inc() }
func (m *metrics) denyPacket(v policy.Verdict)  { m.denied[v][1].Inc() }
func (m *metrics) end(cause string)             { m.ends.WithLabelValues(cause).Inc() }
func (m *metrics) died(t transport)             { m.live.WithLabelValues(transportNames[t]).Dec() }
func (m *metrics) born(t transport) {
	m.live.WithLabelValues(transportNames[t]).Inc()
	m.total.WithLabelValues(transportNames[t]).Inc()
}
