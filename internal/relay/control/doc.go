// Package control is the link between a control plane (signaling, a function) and relay nodes
// elsewhere. It is requests and answers over HTTPS, in JSON, under /relay/v1/; http is for
// loopback alone. docs/adr/0012 says why it has this shape.
//
//	control plane                                   relay node
//	Client, Remote ── PUT grants/{id}: put        ─▶ API
//	               ── POST grants: renew, delete  ─▶
//	               ── GET status                  ─▶
//	Desk           ◀─ POST report (held open)     ── Uplink
//	               ◀─ POST lease, settle          ──
//	Ear            ◀─ POST told                   ── Teller, of a node with books of its own
//
// # Who may do what
//
// A node's key is derived from the signing key and the node's name. Three keys come of it: one for TURN
// credentials at this node, one for tokens to it, one for tokens from it. So any process with the signing key can
// call any node, without a word before; and what is in a node is worth nothing at another one, or at the control
// plane but for this: the node leases bytes for grants that were put on it, and reports them. It can't make a
// grant, lengthen one or give it more bytes.
//
// A token is a JWT of two minutes that names direction and node. Who can read it has broken TLS.
//
// # Time
//
// Lives travel as durations from now, so that clocks need not agree; tokens allow a minute of difference.
//
// # When the link is down
//
// The node finds out at once, as the report that the control plane holds open breaks; the control plane
// likewise, a second after. The node takes no grants then. Those that are there live for
// UplinkConfig.Window beyond their last renewal, on the bytes that are leased. The control plane gives the
// pairs of a node that is gone other relays, and counts what was leased to it as spent.
//
// # Bounds and policies
//
//	bodies               64 KiB, settlements and changes 1 MiB; answers 1 MiB     error
//	renewals, deletions  of a node that wait: 65536; more are dropped: a renewal comes again, a grant
//	                     ends by itself
//	settlements          one a grant waits; sent each second; again until they are taken, by number once
//	calls                5 s; reports: 10 s more than they are held
package control
