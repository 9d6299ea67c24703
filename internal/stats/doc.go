// Package stats counts what happens, so that there are figures without knowing anybody.
//
// # Anonymous by construction
//
// What is stored is numbers per hour and counter (counter.go), and a counter is one of a closed
// list. No part of a row comes from a person: no address, id, name, or time finer than the hour. A row
// also has the run that wrote it, a random number of the server's process.
// docs/privacy.md lists every column and every counter. What is published is rounded (publish.go).
//
// Pages report once what became of their session (report.go): a word out of a closed list for each
// question. That nobody reports twice is known from a keyed hash of the grant, in memory, until the
// grant has expired; it is never stored.
//
// # Counted at most once, and nearly always
//
// Add is an atomic addition: it never waits, whatever the database does. Run collects what was added
// every Interval and at each hour's end, and writes. A row holds what its run has
// counted in its hour so far, absolutely; writing it twice changes nothing, so a write of which nobody knows
// whether it succeeded is simply done again. Runs write different rows, so any
// number of processes share a database without waiting for each other. After kill -9 what was stored is
// at most what happened, and what is lost was counted after the last Interval began.
//
// While the database is away counts wait in memory, for maxHours; the oldest hour is then dropped, and
// counted as dropped in the metrics.
package stats
