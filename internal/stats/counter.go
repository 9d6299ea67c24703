package stats

import "slices"

// Counter is one of the closed list of what is counted.
type Counter int

// The counters that have no kinds, in the order of families.
const (
	Sessions         Counter = iota // made
	Joins                           // invites that were traded for a grant
	Negotiations                    // connections to the hub that were asked for
	Messages                        // of peers over the hub
	RelayBytes                      // delivered by relays, or counted as such
	TransfersOffered                // lists of files that a receiver saw
	TransfersDone                   // and verified
	DemoMessages                    // of the example chat
	plain                           // how many these are
)

// Families of counters that have kinds, and kinds that are spoken of elsewhere.
const (
	familyRefused = "refusals"
	familyOutcome = "reports"
	familyPath    = "paths"
	familySeconds = "connect_seconds"
	familyFailed  = "transfers_failed"
	familySize    = "transfers_size"
	familyBytes   = "bytes"
	familyBySize  = "bytes_by_size"

	otherReason   = "other"
	outcomeWorked = "worked"
	outcomeAlone  = "alone" // signaling came up, and the other side was not there
	outcomeHost   = "host"  // a sender whose signaling came up; its receivers report the rest
	pathDirect    = "direct"
	pathRelay     = "relay"
	more          = "more" // than the largest bound
)

// family is counters of one name. Kinds are its closed list; none: it is a single counter.
type family struct {
	name, label, help string
	kinds             []string
}

// families is everything that is counted; docs/privacy.md has the same list, and a test compares
// them.
var families = []family{
	{name: "sessions", help: "Sessions made."},
	{name: "joins", help: "Links that were opened and led to a grant."},
	{name: "negotiations", help: "Connections to the signaling hub that were asked for."},
	{name: "messages", help: "Messages of peers over the signaling hub."},
	{name: "relay_bytes", help: "Bytes that relays delivered, as the ledger counts them."},
	{name: "transfers_offered", help: "Lists of files that a receiver saw, as pages report."},
	{name: "transfers_done", help: "Transfers that were received and verified, as pages report."},
	{name: "demo_messages", help: "Messages of the example chat."},
	{familyRefused, "reason", "What was refused, by reason.", []string{
		"bad_grant", "unknown_link", "expired_link", "other_kind", "bad_request", "bad_message", "too_large", "forbidden",
		"removed", "room_full", "sealed_limited", "reports_limited", "demo_full", "too_fast", "bad_name",
		"relay_absent", "relay_limited", "relay_none", "relay_short", "relay_spent",
		"blocked", "prefix", "session", "work", "replayed", "busy", "relay_paused", "sessions_paused", "spent", "origin",
		otherReason,
	}},
	{familyOutcome, "outcome", "What became of a page's session, as it reports once.", []string{
		outcomeWorked, "no_signaling", "no_path", "unverified", outcomeAlone, outcomeHost,
	}},
	{familyPath, "path", "Paths between peers, as pages report.", []string{pathDirect, pathRelay}},
	{familySeconds, "up_to", "Sessions by the seconds that the path took to come up.", []string{"1", "2", "5", "10", "30", more}},
	{familyFailed, "reason", "Transfers that ended otherwise than done, by reason, as pages report.", []string{
		"user", "disk", "hash", "source", "protocol", "lost", "full", "unconfirmed",
	}},
	{familySize, "up_to", "Transfers done, by size.", []string{"1mb", "10mb", "100mb", "1gb", "10gb", more}},
	{familyBytes, "path", "Bytes of transfers done, by path; estimated from sizes as powers of two.", []string{pathDirect, pathRelay}},
	{familyBySize, "up_to", "The same bytes, by the size of the transfer.", []string{"1mb", "10mb", "100mb", "1gb", "10gb", more}},
}

// Names are all counters, in the order of their Counter; a kind follows its family after a dot.
func Names() []string {
	var all []string
	for _, f := range families {
		if len(f.kinds) == 0 {
			all = append(all, f.name)
		}
		for _, k := range f.kinds {
			all = append(all, f.name+"."+k)
		}
	}
	return all
}

// index is the counters by name.
func index() map[string]Counter {
	all := map[string]Counter{}
	for i, name := range Names() {
		all[name] = Counter(i)
	}
	return all
}

// kinds is the closed list of a family.
func kinds(name string) []string {
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	return families[i].kinds
}
