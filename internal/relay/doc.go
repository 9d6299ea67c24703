// Package relay is Causeway's STUN and TURN server: RFC 8489 and RFC 8656 over UDP,
// TCP and TLS.
//
// # Parts
//
//	clients ⇄ shard, stream ⇄ request           ⇄ table: grants, sessions, allocations
//	                        ⇄ worker (data.go)  ⇄ poller ⇄ peers
//
// A shard (listen.go) is a UDP socket that clients reach, one a core, and a goroutine
// that reads it in batches; a stream (stream.go) is a TCP or TLS connection; a poller reads
// the sockets of many relayed addresses. Each of them hands packets to a worker, which does
// all that a packet needs and sends what came of it once a batch. Requests (request.go,
// allocate.go, permit.go) are the slow path: they change the table under its one lock.
// Packages below have the concepts: wire (bytes), nonce, grants (accounts), policy (peers), udp
// (sockets), credential, demux (one port for HTTPS and TURN).
//
// # The data path takes no lock and no memory
//
// A packet finds its allocation by an index whose buckets are replaced as a whole, its peer by
// a list of at most 32 that is, too. Whether the policy allows the peer is remembered with
// the generation of the session, which changes with everything that the judgement depends
// on: members, grants, allocations, the machine's addresses. So most packets cost two
// atomic loads for the policy, one atomic subtraction for the budget, and two more for
// rates. Only TCP clients have a lock each, for their outbox. Any shard may send on any
// socket, so it does not matter where the kernel's hash puts the two ends.
//
// # Who may use it
//
// Two authorities (authority.go) know usernames. One is for grants: the credential
// names a grant that the control plane keeps alive (Put, Renew, Delete), and is worth nothing
// without it. Each request looks the grant up; Delete and an empty budget kill the data
// path at once, an end in time within a second: UDP falls silent and the next request gets
// 401 or 437, a TCP connection is closed. The other is TURN REST with a shared secret, as
// coturn has it, where the expiry refuses new allocations and nothing else.
//
// A credential that turns up at another address prefix than before is counted, or refused
// (source.go).
//
// A nonce is bound to the client's address (package nonce), so an authenticated Allocate
// proves that its sender receives there. That is the only proof that makes a private
// address a peer, and the best one for a public address.
//
// # Where it relays to
//
// One function decides (facts.go, package policy) for CreatePermission, ChannelBind,
// Send, ChannelData and what arrives from peers. Two relayed addresses of one session talk
// inside the process ("hairpin"), whatever the public address is, so that no NAT has to
// send packets back where they came from; the sender's grant pays, once. TURN REST names no
// session: its users are all in one, and the level is P1 at the most.
//
// # Bytes
//
// What is counted is what is billed: packets that leave, to peers and to clients, with the
// headers of IP and UDP. Package grants leases them in chunks; a chunk half used is
// filled up by another goroutine. What goes to loopback, link-local, or private
// networks of the machine's interfaces is delivered but not charged.
//
// # Bounds and policies
//
//	allocations      total, of a grant (holder), of a source      508, 486, 486
//	grants           total                                        Put fails
//	permissions      of an allocation: 16                         508
//	peers            of an allocation, by port: 32                the least used makes room
//	bytes, packets   per second of a grant                        dropped
//	bytes            of a grant: what is leased                   dropped; spent: cut
//	proofs           of a grant: 16                               the oldest is forgotten
//	requests         token bucket per source, or five-tuple of an
//	                 allocation; authentic ones are free; 4096
//	                 buckets, which collisions share              dropped
//	TCP connections  total, per source                            closed at accept
//	TCP idle         30 s without an allocation                   closed
//	TCP writes       128 KiB waiting                              dropped
//	                 10 s                                         closed
//	datagrams        1600 bytes                                   dropped
//	leases due       1024                                         asked for again
//	accounts to be
//	closed           as many as grants                            stay leased: count as spent
//
// A source is an IPv4 address or an IPv6 /64. An answer to an unproven address is at most
// 1.6 times a Binding (2.2 over IPv6), 3.2 times an Allocate without attributes, and none at
// all if what came is malformed. Each refusal and drop is counted under a reason.
//
// # Differences from the RFCs
//
//   - Channels are taken up to 0x7FFF, as RFC 5766 had them, for coturn's clients.
//   - Relayed TCP (RFC 6062) gets 442 and 400, pairs of ports (EVEN-PORT with R,
//     RESERVATION-TOKEN) 508, mobility (RFC 8016) 405, and an ADDITIONAL-ADDRESS-FAMILY
//     its ADDRESS-ERROR-CODE 440: one relayed address an allocation.
//   - DONT-FRAGMENT is accepted and not acted upon.
//   - The server's half of a five-tuple is its port alone.
//   - A peer at an IPv6 link-local address is not reached: TURN has no zones.
package relay
