// Package relay is Causeway's STUN and TURN server: RFC 8489 and RFC 8656 over UDP
// and TCP on one port.
//
// # What it is built on
//
// Protocol and allocations are github.com/pion/turn for now, and nothing of it shows
// in this package's API, so that the server of our own that replaces it (grants,
// budgets, batching) changes no caller. What the library keeps private is added around
// it, at the three places where it lets go of the bytes:
//
//	clients ⇄ front / stream ⇄ pion/turn ⇄ allocation ⇄ peers
//	          frames, rates,    protocol    peer policy by
//	          connection caps               address and port
//
// front (front.go) is the UDP socket that clients reach, stream (stream.go) one TCP
// connection, allocation (allocation.go) the UDP socket of one relayed address. table
// (table.go) knows the live ones, and is the only shared state.
//
// # Who may use it
//
// Credentials are package credential's (TURN REST). Their expiry refuses a new
// allocation and nothing else: Refresh, CreatePermission and ChannelBind go on under
// the credential that made the allocation, also when its time, or the secret it was
// minted with, has passed. So a running transfer outlives its credential.
//
// # Where it relays to
//
// The world is closed: a peer is either a live relayed address of this server, or the
// address and port from which a live allocation was made over UDP. The latter is
// proven and cannot be claimed for somebody else: a client got there only by returning a
// token sent to that address (realm.go). Everything else, and with it every internal service, metadata
// endpoint and third party, gets 403, and is dropped in both directions if it is
// tried on a permitted IP with another port. Addresses are canonicalised first, so an
// IPv4-mapped form is the IPv4 address. RFC 6062 (TCP to peers) and EVEN-PORT are refused.
//
// Two relayed addresses talk to each other inside this machine, whatever the
// public address is, so that no NAT has to send packets back where they came from.
//
// # Bounds and policies
//
//	allocations     total, per credential holder, per source    486, or 508 in a race
//	permissions     per allocation, likewise channels           403
//	TCP connections total, per source                           closed at accept
//	TCP idle        30 s without an allocation                  closed
//	TCP writes      10 s                                        closed
//	requests (UDP)  token bucket per source, for sources without
//	                an allocation; 4096 buckets that collisions share   dropped
//	datagrams       1600 bytes                                  dropped
//
// A source is an IPv4 address or an IPv6 /64. Requests are limited because an answer
// may be larger than the request and go to a forged address: 2 times for a Binding
// (2.6 over IPv6), 3.8 times for a 401, to a request of 20 bytes. What is malformed is not
// answered. Each refusal and drop is counted under a reason.
//
// # Known limits
//
//   - Peers are not yet bound to a session: whoever holds a credential may send to the
//     relayed and the proven address of any member whose address and port it knows.
//   - With a wildcard listener the kernel picks the source address of an answer: on a
//     machine that has several addresses in one network, listen on the one to be used.
//   - With Config.PublicIP, relayed addresses are of its family only.
//   - A peer behind a symmetric NAT sends from a port that it did not prove; the pair
//     of relayed addresses is what connects it.
//   - A request for an allocation that is gone is answered by 401 instead of 437
//     (RFC 8656 §5), RFC 6062 by 508 instead of 442, and a client may ask for a lifetime
//     of up to an hour.
package relay
