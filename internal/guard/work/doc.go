// Package work is a proof of work: what a client computes before it is served while the server
// is under pressure. It is invisible to people, costs honest ones a moment each, and an
// attacker that moment for each of its thousands of requests.
//
// # Challenge and solution
//
//	challenge = version u8 = 1 | action u8 | 0 u16 | each u32 | expiry u32, Unix seconds | number u32 | MAC, 16 bytes
//	MAC       = HMAC-SHA-256(key, the 16 bytes before | prefix u64), first 16 bytes
//	solution  = 16 numbers n_0 … n_15, u32; for each i, the first 32 bits of
//	            SHA-256(challenge | i u32 | n_i u32), times each, are less than 2^32
//	text      = b64(challenge) "." b64(solution)
//
// Numbers are big-endian, b64 is base64url without padding. A solution costs 16 × each hashes on
// average. It is sixteen small puzzles and not a large one since their sum varies less: one
// client in twenty needs more than 1.4 times the average, instead of 3 times.
//
// The server keeps nothing for a challenge: the MAC binds it to the action, to the network that asked
// and to a time. A solution is used once (Spent). It is checked in an order in which
// garbage costs least: length, fields, MAC, hashes.
package work
