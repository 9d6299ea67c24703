// Package budget is the ledger that a relay's bytes and money are leased from, so that a
// cap is arithmetic and not detection.
//
// # Accounts
//
// Accounts nest: credential → member → session → day → month. A byte counts in all five, and
// an account that is spent cuts what is below it. For each account, always:
//
//	cap − left == delivered + leased
//
// Lease takes from left, before anything is delivered. Settle moves from leased to delivered
// what was, and gives back what was not. What is neither settled nor given back when a grant is
// closed, or when the process dies, counts as delivered. So delivered never exceeds a cap,
// whatever a node does with its lease, short of delivering more than it has; that is
// counted too, as an overdraft.
//
// Money is bytes times the price of where they left, in millionths of a currency, rounded
// up once a grant. It is reserved for every leased byte and spent for the charged ones, those that left
// the host's own networks. Where money is capped and spent, nothing is leased any more, also
// to those who would stay inside.
//
// A byte that stays inside is not known when it is leased, so this can't be told apart cheaply: the
// lease is of the grant, and its packets go wherever the session's members are.
//
// A transfer whose size is declared may use all that the session may, and tightens that to its size; what can't pass
// is refused when it is declared. Members for whom nothing was declared have a share each, so that none of them
// uses up what is for all.
//
// # What outlives what
//
// Day and month are of UTC. They roll over to empty accounts; what is leased at midnight
// moves along. They survive kill -9: a file holds a mark that they are never beyond, raised
// and synced before the lease that passes it (journal.go). Marks go ahead of
// the truth by 1/256 of the cap, at most 64 MiB, so that most leases sync nothing; this much, and
// what was leased, a crash costs.
//
// A session's account, with its members', lives as long as the session can, also without
// a grant, or leaving and coming back would fill it up; it is in memory only, so a restart gives
// each session its budget again, within the day's. One that spent nothing is
// forgotten with its last grant.
//
// # Bounds and policies
//
//	grants, sessions, members of a session   Open fails with ErrFull
//	outstanding lease of a grant             1 GiB; Lease gives less
//	events                                   the newest are dropped, counted
//	file                                     one record, replaced
//
// What others relayed (Config.Usage) is charged after the fact, so it may overdraw an
// account: by what passes between two polls.
package budget
