package stats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/internal/httpx"
)

// Published is what everybody may see: rounded counts.
type Published struct {
	Updated time.Time `json:"updated"`
	// Since is the first hour in the totals.
	Since time.Time `json:"since,omitzero"`
	// Step is to what counts are rounded up.
	Step   int64     `json:"step"`
	Days   []Period  `json:"days"`   // days (UTC) with counts, the oldest first
	Hours  []Period  `json:"hours"`  // of the last two days
	ByHour [24]int64 `json:"byHour"` // sessions by the hour of the day (UTC)
	Total  Summary   `json:"total"`
}

// Period is a day or an hour.
type Period struct {
	From     time.Time `json:"from"`
	Sessions int64     `json:"sessions"`
	Done     int64     `json:"done"`
	Direct   int64     `json:"direct"`
	Relay    int64     `json:"relay"`
	// Worked is the share of sessions that worked, in percent; missing if too few reported.
	Worked *float64 `json:"worked,omitempty"`
}

// Summary is all of the days together.
type Summary struct {
	Sessions   int64            `json:"sessions"`
	Joins      int64            `json:"joins"`
	Messages   int64            `json:"messages"`
	Offered    int64            `json:"offered"`
	Done       int64            `json:"done"`
	RelayBytes int64            `json:"relayBytes"`
	Bytes      map[string]int64 `json:"bytes"`       // by path
	SizeBytes  map[string]int64 `json:"bytesBySize"` // by the size of the transfer
	Paths      map[string]int64 `json:"paths"`       // sessions
	Seconds    map[string]int64 `json:"seconds"`     // sessions by the time to connect
	Sizes      map[string]int64 `json:"sizes"`       // transfers done
	Failed     map[string]int64 `json:"failed"`      // transfers
	Refusals   map[string]int64 `json:"refusals"`    // only what was refused
	Worked     *float64         `json:"worked,omitempty"`
}

const (
	step        = 10 // counts are rounded up to its multiples
	byteStep    = 1e6
	enough      = 20 // reports, to tell a share
	publishDays = 90
	publishHrs  = 48
	cacheFor    = 10 * time.Second
)

// rounded rounds up, so that something is never shown as nothing, and one more is seldom seen.
func rounded(n int64, to int64) int64 { return (n + to - 1) / to * to }

func roundedMap(m map[string]int64, to int64) map[string]int64 {
	out := make(map[string]int64, len(m))
	for k, n := range m {
		out[k] = rounded(n, to)
	}
	return out
}

// worked is the share of sessions that worked among those that should have, in percent with one
// digit. Somebody whose sender was not there, and senders whom nobody met, say nothing about
// the service.
func worked(reports map[string]int64) *float64 {
	good := reports[outcomeWorked]
	all := good + reports["no_signaling"] + reports["no_path"] + reports["unverified"]
	if all < enough {
		return nil
	}
	share := math.Round(float64(good)/float64(all)*1000) / 10
	return &share
}

// Publish makes what may be published of rows.
func Publish(rows []Row, now time.Time) Published {
	p := Published{Updated: now.UTC().Truncate(time.Second), Step: step, Days: []Period{}, Hours: []Period{}}
	recent := hourOf(now).Add(-(publishHrs - 1) * time.Hour)
	byDay, byHour := map[time.Time][]Row{}, map[time.Time][]Row{}
	var day [24]int64
	for _, r := range rows {
		if p.Since.IsZero() || r.Hour.Before(p.Since) {
			p.Since = r.Hour
		}
		d := r.Hour.Truncate(24 * time.Hour)
		byDay[d] = append(byDay[d], r)
		if !r.Hour.Before(recent) {
			byHour[r.Hour] = append(byHour[r.Hour], r)
		}
		if r.Counter == Sessions {
			day[r.Hour.Hour()] += r.N
		}
	}
	for i, n := range day {
		p.ByHour[i] = rounded(n, step)
	}
	p.Days, p.Hours = periods(byDay), periods(byHour)
	p.Total = summary(usageOf(rows))
	return p
}

func periods(by map[time.Time][]Row) []Period {
	list := []Period{}
	for from, rows := range by {
		u := usageOf(rows)
		list = append(list, Period{
			From: from, Sessions: rounded(u.Sessions, step), Done: rounded(u.TransfersDone, step),
			Direct: rounded(u.Paths[pathDirect], step), Relay: rounded(u.Paths[pathRelay], step), Worked: worked(u.Reports),
		})
	}
	slices.SortFunc(list, func(a, b Period) int { return a.From.Compare(b.From) })
	return list
}

func summary(u Usage) Summary {
	refusals := roundedMap(u.Refusals, step)
	for k, n := range refusals {
		if n == 0 {
			delete(refusals, k)
		}
	}
	return Summary{
		Sessions: rounded(u.Sessions, step), Joins: rounded(u.Joins, step), Messages: rounded(u.Messages, step),
		Offered: rounded(u.TransfersOffered, step), Done: rounded(u.TransfersDone, step),
		RelayBytes: rounded(u.RelayBytes, byteStep), Bytes: roundedMap(u.BytesByPath, byteStep),
		SizeBytes: roundedMap(u.BytesBySize, byteStep), Paths: roundedMap(u.Paths, step),
		Seconds: roundedMap(u.ConnectSeconds, step), Sizes: roundedMap(u.TransfersBySize, step), Failed: roundedMap(u.TransfersFailed, step),
		Refusals: refusals, Worked: worked(u.Reports),
	}
}

// Publisher answers GET /api/stats from a copy that is made anew at most every ten seconds, so that
// nobody can make the database work. Of what is too old to change it reads each hour only.
type Publisher struct {
	store *Store

	mu    sync.Mutex
	made  time.Time
	body  []byte
	etag  string
	err   error     // why there is none
	old   []Row     // before until
	until time.Time // an hour
}

// NewPublisher returns a Publisher of what is in store.
func NewPublisher(store *Store) *Publisher { return &Publisher{store: store} }

// Handle answers GET /api/stats.
func (p *Publisher) Handle(w http.ResponseWriter, r *http.Request) error {
	body, etag, err := p.current(r.Context(), time.Now())
	if err != nil {
		return &httpx.Error{Status: http.StatusServiceUnavailable, Code: "no_statistics", Message: "The statistics can't be read at the moment.", RetryAfter: cacheFor, Err: err}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(cacheFor.Seconds())))
	h.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, _ = w.Write(body) // a client that went away is nobody to tell
	return nil
}

// current returns the copy. A failure is kept as long as a copy is.
func (p *Publisher) current(ctx context.Context, now time.Time) ([]byte, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made.IsZero() || now.Sub(p.made) >= cacheFor {
		// Who waits for the lock gets this answer, so it doesn't end with the one who happened to ask.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writePatience)
		defer cancel()
		p.err = p.make(ctx, now)
		p.made = now
	}
	return p.body, p.etag, p.err
}

func (p *Publisher) make(ctx context.Context, now time.Time) error {
	from := hourOf(now).Truncate(24*time.Hour).AddDate(0, 0, 1-publishDays)
	if until := hourOf(now).Add(-maxHours * time.Hour); until != p.until {
		old, err := p.store.Read(ctx, from, until)
		if err != nil {
			return err
		}
		p.old, p.until = old, until
	}
	fresh, err := p.store.Read(ctx, p.until, now.Add(time.Hour))
	if err != nil {
		return err
	}
	if p.body, err = json.Marshal(Publish(slices.Concat(p.old, fresh), now)); err != nil {
		return err
	}
	sum := sha256.Sum256(p.body)
	p.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return nil
}
