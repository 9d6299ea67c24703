package stats

import (
	"context"
	"time"
)

// Usage is what was counted over some time.
type Usage struct {
	From, To         time.Time // of the hours that were asked for; To is not in it
	Hours            int       // of these with counts
	Sessions         int64
	Joins            int64
	Negotiations     int64
	Messages         int64
	RelayBytes       int64            // measured, by the ledger
	TransfersOffered int64            // here and below: as pages report
	TransfersDone    int64            //
	TransfersFailed  map[string]int64 // by reason
	TransfersBySize  map[string]int64 // done; by the largest size of a bucket
	BytesByPath      map[string]int64 // of transfers done: direct, relay; estimated from sizes
	BytesBySize      map[string]int64 // the same, by the largest size of a bucket
	Paths            map[string]int64 // sessions: direct, relay
	ConnectSeconds   map[string]int64 // sessions; by the largest of a bucket
	Reports          map[string]int64 // by outcome
	Refusals         map[string]int64 // by reason
}

// Usage adds up the hours that begin from from to before to, exactly as stored: it is not for
// publication.
func (s *Store) Usage(ctx context.Context, from, to time.Time) (Usage, error) {
	rows, err := s.Read(ctx, from, to)
	if err != nil {
		return Usage{}, err
	}
	u := usageOf(rows)
	u.From, u.To = from, to
	return u, nil
}

// totals are counts by Counter.
func totals(rows []Row) []int64 {
	n := make([]int64, len(Names()))
	for _, r := range rows {
		n[r.Counter] += r.N
	}
	return n
}

func usageOf(rows []Row) Usage {
	hours := map[time.Time]bool{}
	for _, r := range rows {
		hours[r.Hour] = true
	}
	n, at := totals(rows), index()
	by := func(family string) map[string]int64 {
		m := map[string]int64{}
		for _, k := range kinds(family) {
			m[k] = n[at[family+"."+k]]
		}
		return m
	}
	return Usage{
		Hours: len(hours), Sessions: n[Sessions], Joins: n[Joins], Negotiations: n[Negotiations], Messages: n[Messages],
		RelayBytes: n[RelayBytes], TransfersOffered: n[TransfersOffered], TransfersDone: n[TransfersDone],
		TransfersFailed: by(familyFailed), TransfersBySize: by(familySize), BytesByPath: by(familyBytes), BytesBySize: by(familyBySize),
		Paths: by(familyPath), ConnectSeconds: by(familySeconds), Reports: by(familyOutcome), Refusals: by(familyRefused),
	}
}
