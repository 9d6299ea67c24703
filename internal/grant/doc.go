// Package grant gives pairs of members the use of a relay, keeps it alive while both
// are present, and takes it back.
//
// A TURN credential carries no right by itself; it names a grant at the relay, and this
// package decides how long that lives. Its rules:
//
//   - a credential is minted for both members of a pair together, and only while both
//     are present with a signaling connection of their own;
//   - minting is limited by member and by address prefix; asking again returns what is
//     there already;
//   - presence keeps a grant alive: it is renewed while both members are present, for
//     Grace at a time. A connection that is lost leaves Grace for coming back;
//   - a leave or a kick takes the grants of all the member's pairs back at once;
//   - what is to be transferred is declared when it is known; a pair for which that is too much gets nothing;
//   - when a relay goes away, its pairs are given another one (Move), and their members are told to
//     restart ICE.
//
// If this process dies, nobody renews, and the relay ends the grants after Grace: it fails
// closed.
//
//	            Connected, Disconnected, Left          Relay
//	signaling ────────────────────────────────▶ Keeper ─────▶ own relay, coturn, bought ones
//	            Pair, Move                          Mint, Renew, Revoke
//
// # Bounds and policies
//
//	members            Config.Members; who is beyond is not known, so gets no relay; as many kicked ones
//	pairs of a member  64; the oldest is taken back
//	mints of a member  a burst of 16, then 6 a minute             ErrLimited
//	mints of a prefix  (IPv4 /24, IPv6 /56) a burst of 64, then 24 a minute  ErrLimited
//	prefixes           65536; beyond, new ones are refused        ErrLimited
//	descriptions       of a member: 16; the oldest is forgotten
package grant
