package guard

import (
	"time"

	"causeway/internal/guard/bucket"
)

// Action is something that is admitted or refused.
type Action uint8

// The actions. Only for the first three can a proof of work be asked, as their
// clients are our own pages.
const (
	Create    Action = iota // a session
	Join                    // a session, by its invite
	Negotiate               // of our own application: an access token for the hub
	Connect                 // to our own hub, with an access token
	Lookup                  // of ICE servers and the like
	Invoke                  // a method of our own hub
	Mint                    // credentials for a relay
	Other                   // of applications whose clients can't be asked for work
	actions
)

var actionNames = [actions]string{"create", "join", "negotiate", "connect", "lookup", "invoke", "mint", "other"}

// String is the action's name, a label of metrics.
func (a Action) String() string { return actionNames[a] }

// workable says whether work may be asked for.
func (a Action) workable() bool { return a <= Negotiate }

// begins says whether the action begins something new.
func (a Action) begins() bool { return a == Create || a == Join || a == Other }

// Reason says why something was refused.
type Reason uint8

// The reasons.
const (
	Blocked  Reason = iota // the network is blocked
	Prefix                 // its bucket is empty
	Session                // that of the session is
	Work                   // a proof of work is wanted
	Replayed               // a proof was used before
	Busy                   // this process has all that it takes on
	RelayOff               // money is short: no relay for new sessions
	Paused                 // money is short: no new sessions
	Spent                  // there is no money left
	Origin                 // another site's page
	reasons
)

var reasonNames = [reasons]string{"blocked", "prefix", "session", "work", "replayed", "busy", "relay_paused", "sessions_paused", "spent", "origin"}

// String is the reason's name, a label of metrics.
func (r Reason) String() string { return reasonNames[r] }

// Limits by network. A network may be a campus, or a carrier's customers behind one address, so
// they are for some hundreds of people; a connect takes create or join, lookup, negotiate
// and connect.
func prefixRates() [bucket.Kinds]bucket.Rate {
	return [bucket.Kinds]bucket.Rate{
		Create:    {Burst: 60, Every: 500 * time.Millisecond},
		Join:      {Burst: 120, Every: 250 * time.Millisecond},
		Negotiate: {Burst: 240, Every: 100 * time.Millisecond},
		Connect:   {Burst: 400, Every: 50 * time.Millisecond},
		Lookup:    {Burst: 240, Every: 100 * time.Millisecond},
		Invoke:    {Burst: 10_000, Every: time.Millisecond},
		Mint:      {Burst: 256, Every: 500 * time.Millisecond},
		Other:     {Burst: 240, Every: 100 * time.Millisecond},
	}
}

// Limits by session. A host with 32 guests that all connect at once sends some 400 messages; a line in a
// room of 32 without data channels is 31; after a restart of the server all of a session's peers
// come back within seconds.
func sessionRates() [bucket.Kinds]bucket.Rate {
	return [bucket.Kinds]bucket.Rate{
		Join:      {Burst: 200, Every: 200 * time.Millisecond},
		Negotiate: {Burst: 400, Every: 100 * time.Millisecond},
		Connect:   {Burst: 400, Every: 100 * time.Millisecond},
		Lookup:    {Burst: 400, Every: 100 * time.Millisecond},
		Invoke:    {Burst: 4000, Every: 5 * time.Millisecond},
		Mint:      {Burst: 128, Every: 500 * time.Millisecond},
		Other:     {Burst: 2000, Every: 20 * time.Millisecond},
	}
}

// share is how the rate from which work is wanted differs from that of sessions.
var share = [...]int{Create: 1, Join: 2, Negotiate: 3}

// ceiling is how many times that rate is let in at most, with work.
const ceiling = 5

// Prices are millionths of the currency for a million events; 0: free.
type Prices struct {
	Execution   int64 // of a function: a request, an event of a connection
	Negotiation int64
	Message     int64 // to one client
}

// of returns what an action costs in 10⁻¹² of the currency, with so many messages to clients.
func (p Prices) of(a Action, messages int) int64 {
	cost := p.Execution + int64(messages)*p.Message
	switch a {
	case Negotiate:
		cost += p.Negotiation
	case Connect: // connected, disconnected, and that the others are told
		cost += p.Execution + p.Message
	}
	return cost
}

func (p Prices) free() bool { return p == Prices{} }
