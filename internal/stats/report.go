package stats

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"causeway/internal/httpx"
)

// Holder is who holds a grant, as far as Reports has to know.
type Holder struct {
	ID      string // one for each grant; only a keyed hash of it is kept
	Expires time.Time
}

// ReportsConfig is what NewReports needs.
type ReportsConfig struct {
	Recorder *Recorder
	// Holder checks the bearer grant of a request; its error reaches the client if it is an httpx.Error.
	Holder func(*http.Request) (Holder, error)
	// Rate is how many reports a second are taken in all, with bursts of ten seconds' worth; 50 by default.
	Rate float64
}

const (
	defaultRate = 50
	burst       = 10 // seconds
	maxReport   = 1 << 10
	// maxHolders bounds the table of who has reported. When it is full nobody else can, until
	// grants expire.
	maxHolders = 1 << 17
	maxSize    = 44 // 2^44 bytes are 16 TiB
)

// Reports takes what pages report. It is safe for concurrent use.
type Reports struct {
	cfg     ReportsConfig
	limiter *rate.Limiter
	key     []byte // of this process, never stored

	mu    sync.Mutex
	seen  map[[16]byte]time.Time // until when
	swept time.Time
}

// NewReports returns a Reports.
func NewReports(cfg ReportsConfig) (*Reports, error) {
	if cfg.Recorder == nil || cfg.Holder == nil {
		return nil, errors.New("stats: incomplete configuration")
	}
	if cfg.Rate == 0 {
		cfg.Rate = defaultRate
	}
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	return &Reports{cfg: cfg, limiter: rate.NewLimiter(rate.Limit(cfg.Rate), max(1, int(cfg.Rate*burst))), key: key, seen: map[[16]byte]time.Time{}}, nil
}

// report is what a page says, once. Every word is out of a closed list; what does not apply is
// left out.
type report struct {
	Outcome  string `json:"outcome"`
	Path     string `json:"path"`
	Seconds  string `json:"seconds"`  // until the path was up: the bucket
	Transfer string `json:"transfer"` // none, offered, done, or how it failed
	Size     int    `json:"size"`     // of the transfer: the power of two, in bytes, that it is within
}

// check says whether every word is on its list, and goes with the others.
func (p report) check() error {
	worked := p.Outcome == outcomeWorked
	transfer := p.Transfer == "none" || p.Transfer == "offered" || p.Transfer == "done" || slices.Contains(kinds(familyFailed), p.Transfer)
	switch {
	case !slices.Contains(kinds(familyOutcome), p.Outcome):
		return errors.New("outcome")
	case worked && !slices.Contains(kinds(familyPath), p.Path), !worked && p.Path != "":
		return errors.New("path")
	case worked && !slices.Contains(kinds(familySeconds), p.Seconds), !worked && p.Seconds != "":
		return errors.New("seconds")
	case worked && !transfer, !worked && p.Transfer != "":
		return errors.New("transfer")
	case p.Size < 0 || p.Size > maxSize || p.Size != 0 && p.Transfer != "done":
		return errors.New("size")
	}
	return nil
}

// Handle answers POST /api/report.
func (s *Reports) Handle(w http.ResponseWriter, r *http.Request) error {
	holder, err := s.cfg.Holder(r)
	if err != nil {
		return err
	}
	var p report
	if err := httpx.ReadJSON(w, r, maxReport, &p); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Code: "bad_request", Message: "The report has a word that is not on the list, or that does not go with the others.", Err: err}
	}
	if !s.limiter.Allow() {
		return &httpx.Error{Status: http.StatusTooManyRequests, Code: "reports_limited", Message: "Too many reports at once.", RetryAfter: burst * time.Second}
	}
	if s.first(holder, time.Now()) {
		s.count(p)
	}
	// A second report looks like the first: pages may send again what they don't know to have arrived.
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// first notes that h reports, and says whether it is for the first time.
func (s *Reports) first(h Holder, now time.Time) bool {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(h.ID))
	key := [16]byte(mac.Sum(nil))
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) >= time.Minute {
		s.swept = now
		maps.DeleteFunc(s.seen, func(_ [16]byte, until time.Time) bool { return now.After(until) })
	}
	if _, ok := s.seen[key]; ok || len(s.seen) >= maxHolders {
		return false
	}
	s.seen[key] = h.Expires
	return true
}

func (s *Reports) count(p report) {
	r := s.cfg.Recorder
	r.add(familyOutcome, p.Outcome, 1)
	if p.Outcome != outcomeWorked {
		return
	}
	r.add(familyPath, p.Path, 1)
	r.add(familySeconds, p.Seconds, 1)
	if p.Transfer == "none" {
		return
	}
	r.Add(TransfersOffered, 1)
	switch p.Transfer {
	case "offered":
	case "done":
		r.Add(TransfersDone, 1)
		r.add(familySize, sizeBucket(p.Size), 1)
		r.add(familyBySize, sizeBucket(p.Size), estimate(p.Size))
		r.add(familyBytes, p.Path, estimate(p.Size))
	default:
		r.add(familyFailed, p.Transfer, 1)
	}
}

// sizeBucket returns the bucket of sizes up to 2^power bytes.
func sizeBucket(power int) string {
	bounds := kinds(familySize)
	for i, limit := range []int64{1e6, 1e7, 1e8, 1e9, 1e10} {
		if estimate(power) <= limit {
			return bounds[i]
		}
	}
	return more
}

// estimate is the middle of the sizes that are within 2^power but not within half of it.
func estimate(power int) int64 { return int64(3) << power >> 2 }
