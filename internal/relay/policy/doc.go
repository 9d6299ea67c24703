// Package policy decides which peers a relay talks to. It is pure: no I/O, no clock, no
// state but a Gate's, and no knowledge of the relay beyond what Facts answers.
//
// # One function
//
// Policy.Peer is asked at every entry point: CreatePermission (where the port is not known,
// as RFC 8656 §9 has permissions by address), ChannelBind, Send, ChannelData, and for what
// arrives from a peer. It canonicalises first, and goes through these steps in order:
//
//  1. A live relayed address, with its port, of another member of the session: allowed.
//     It is reached inside the process. At P4 everything else is refused.
//  2. What the operator denies: refused.
//  3. A private, loopback or link-local address: allowed if another member proved this
//     address and this port by an authenticated Allocate over UDP at this node. A
//     signaling address does not count, it may be a proxy's.
//  4. Any other port of the node's own addresses: refused.
//  5. What the operator allows (an SFU): allowed, if no IPv4 address embedded in it is refused.
//  6. P0: special-purpose addresses: refused.
//  7. P1: ports of services that reflect, or that expect their own network: refused, unless
//     a member proved the port.
//  8. P2: an address that no other member proved, and from which none signals: refused.
//
// Step 3 comes before step 4 because on one machine the peers' addresses are the node's
// own: a member that proved 127.0.0.1:50000 holds that socket, so it is no service of the
// node. For own addresses that are public there is no such exception.
//
// Where the port is not known, steps 1 and 3 ask whether there is any port that would do,
// and the port is checked at each send.
//
// # What the levels mean
//
// Each contains the ones below it. P0 and P1 keep the relay from internal networks and
// reflectors; P2 from everybody who is not in the session; P3 puts a Gate on every pair
// of allocation and peer, which passes ICE checks only, until one succeeded; P4 relays
// between relayed addresses of one session only.
//
// P3 alone would not be enough: an insider has seen the other side's ICE password, and may
// hand it to a host outside the session. Two members of one session that are run by one
// person are not kept apart by any level; that is what budgets are for.
package policy
