package relay

import "github.com/prometheus/client_golang/prometheus"

// reason says why a request was refused, or a packet or connection dropped.
type reason string

// Refusals: a client got an error answer.
const (
	refusedUsername     reason = "username"      // not of the form expiry:holder
	refusedExpired      reason = "expired"       // a new allocation with an old credential
	refusedPassword     reason = "password"      // message integrity does not match
	refusedRealm        reason = "realm"         // of another address, or not ours
	refusedMethod       reason = "method"        // RFC 6062
	refusedNoAllocation reason = "no_allocation" // or not made with this username
	refusedTotal        reason = "total"         // Limits.Allocations
	refusedHolder       reason = "holder"        // Limits.AllocationsPerHolder
	refusedSource       reason = "source"        // Limits.AllocationsPerSource
	refusedTransport    reason = "transport"     // TCP relayed address or EVEN-PORT
	refusedFamily       reason = "family"        // no public address of that family
	refusedPort         reason = "port"          // no free relay port
	refusedPeer         reason = "peer"          // neither relayed nor proven
	refusedPermissions  reason = "permissions"   // Limits.Permissions
)

// Drops: nobody is told.
const (
	droppedMalformed        reason = "malformed"         // neither STUN nor ChannelData
	droppedOversize         reason = "oversize"          // longer than 1600 bytes
	droppedUnsolicited      reason = "unsolicited"       // data from a source without allocation
	droppedRate             reason = "rate"              // Limits.RequestRate
	droppedConnections      reason = "connections"       // Limits.Connections
	droppedConnectionSource reason = "connection_source" // Limits.ConnectionsPerSource
	droppedToPeer           reason = "to_peer"           // to a peer neither relayed nor proven
	droppedFromPeer         reason = "from_peer"         // from such a peer
)

type direction string

const (
	toPeer   direction = "to_peer"
	toClient direction = "to_client"
)

type transport string

const (
	overUDP transport = "udp"
	overTCP transport = "tcp"
)

// metrics counts what the relay does. Counters of the data path are resolved once, as
// a look-up by label costs more than sending a small packet's bookkeeping may.
type metrics struct {
	live      *prometheus.GaugeVec
	total     *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	drops     *prometheus.CounterVec
	toPeer    traffic
	toClient  traffic
	collector []prometheus.Collector
}

type traffic struct{ packets, bytes prometheus.Counter }

func (t traffic) add(n int) {
	t.packets.Inc()
	t.bytes.Add(float64(n))
}

func newMetrics() *metrics {
	const ns, sub = "causeway", "relay"
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, []string{label})
	}
	packets := counter("packets_total", "Packets relayed, by direction.", "direction")
	bytes := counter("bytes_total", "Bytes relayed, by direction; to clients including TURN framing, to peers without.", "direction")
	m := &metrics{
		live: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: "allocations",
			Help: "Allocations that are live, by the client's transport."}, []string{"transport"}),
		total:    counter("allocations_total", "Allocations made, by the client's transport.", "transport"),
		refusals: counter("refusals_total", "Requests answered with an error, by reason.", "reason"),
		drops:    counter("drops_total", "Packets and connections dropped without an answer, by reason.", "reason"),
		toPeer:   traffic{packets.WithLabelValues(string(toPeer)), bytes.WithLabelValues(string(toPeer))},
		toClient: traffic{packets.WithLabelValues(string(toClient)), bytes.WithLabelValues(string(toClient))},
	}
	m.collector = []prometheus.Collector{m.live, m.total, m.refusals, m.drops, packets, bytes}
	return m
}

func (m *metrics) refuse(r reason) { m.refusals.WithLabelValues(string(r)).Inc() }
func (m *metrics) drop(r reason)   { m.drops.WithLabelValues(string(r)).Inc() }

func (m *metrics) born(t transport) {
	m.live.WithLabelValues(string(t)).Inc()
	m.total.WithLabelValues(string(t)).Inc()
}

func (m *metrics) died(t transport) { m.live.WithLabelValues(string(t)).Dec() }
