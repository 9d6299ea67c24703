// Package guard is the one place where it is decided whether something that costs is done: sessions,
// joins, negotiations, connections, invocations, relay credentials. It answers at once, from memory.
//
// Admit asks, in this order, so that what is refused costs least and hurts the fewest:
//
//	block    an address prefix that was blocked                            403 blocked
//	prefix   a token bucket of the network (IPv4 /24, IPv6 /56)            429 too_many_requests
//	spend    money of the day or month is nearly spent, see below          503 …_paused
//	work     under pressure, a proof of work, see package work             429 work_required
//	session  a token bucket of the session                                 429 too_many_requests
//	all      what this process takes on at most                            503 busy
//	money    the price of what is to be done, from the ledger              503 spend_cap
//
// A challenge has cost a token of its network already, so its solution needs none.
//
// # Networks
//
// An IPv4 /24 is the smallest block that is routed on the internet, so the least that an attacker gets
// with another owner. A home gets an IPv6 /56 as a rule (RIPE-690), and a hoster's customer a /64 or a
// /56; a /48 would put the telephones of a carrier's region into one bucket, a
// /64 would give each home 256. Who has a /48 has 256 buckets: the proof of work and the
// spend cap are for those, and for botnets.
//
// # Money
//
// The caps of day and month are those of the ledger that relays are paid from (package budget), so
// they bound all that costs, together. When one is nearly spent, service ends in this order:
//
//	from RelayAt (80 %)      no relay for sessions that have not used one yet
//	from SessionsAt (90 %)   no new sessions and no joins, if these cost anything
//	at 100 %                 nothing more that costs
//
// so that the last tenth is for who is there already. Where only the relay has a price, sessions go on
// for ever: they cost nothing, and stopping them would be the attacker's success. Money
// for events is taken from the ledger some at a time; what is left of that at the end counts as spent.
//
// # Bounds and policies
//
//	networks, sessions   65536 each; newcomers beyond share buckets (package bucket)
//	used challenges      65536 in two minutes; beyond, solutions are refused
//	blocks               1024; beyond, Block fails
package guard
