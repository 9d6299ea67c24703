package plan

import (
	"math"
	"math/rand/v2"
	"slices"
)

// MonteCarlo is an estimate of an availability by drawing failures.
type MonteCarlo struct {
	Samples      int     `json:"samples"`
	Seed         uint64  `json:"seed"`
	Failed       int     `json:"failed"` // of the samples
	Availability float64 `json:"availability"`
	StandardErr  float64 `json:"standard_error"`
	// Off is how far the calculated figure is away, in standard errors.
	Off     float64 `json:"off"`
	Verdict Verdict `json:"verdict"`
}

// Verdict says what the draws say about the calculated figure.
type Verdict string

// The verdicts. Two figures agree within maxOff standard errors and the overlap.
const (
	Agrees    Verdict = "agrees"
	Disagrees Verdict = "DISAGREES"
	TooFew    Verdict = "too few failures drawn"
)

// maxOff is how many standard errors may lie between both figures: by chance alone,
// more happens once in 16 000 times. It takes minFailed failures to know the error.
const (
	maxOff    = 4
	minFailed = 100
)

// simulation draws sessions. Failures are rare, so they are drawn more often than they
// happen and each session is weighted by how likely its draws were (importance
// sampling): the mean stays right and its error small. How much more often differs
// from session to session, since a chain fails by one failure and a redundant system
// by several; the weight is against the mixture of all, so none gets a huge one.
type simulation struct {
	evaluation
	rng    *rand.Rand
	biases []float64       // least probabilities to draw with
	chosen int             // the one of this session
	ratios []float64       // by bias: how much likelier its draws are than in truth
	splits map[*node]split // of gates, by the needs of the session
}

// split is how much of its children's failures a gate takes as common: with what
// probability that strikes, and how much of each child's failures are its own.
type split struct {
	common float64
	own    []float64
}

// simulate draws sessions; equal seeds and streams draw alike.
func (t *tree) simulate(beta float64, d Drawing, stream uint64) MonteCarlo {
	n := float64(max(1, events(t.root)))
	s := simulation{
		evaluation: evaluation{beta: beta, needed: make([]bool, len(t.weights))}, rng: rand.New(rand.NewPCG(d.Seed, stream)),
		biases: []float64{min(0.5, 1/n), min(0.5, 3/n), 0.5}, ratios: make([]float64, 3),
	}
	tables := make([]map[*node]split, 1<<len(t.weights))
	m := MonteCarlo{Samples: d.Samples, Seed: d.Seed}
	var sum, squares float64
	for range d.Samples {
		mask := 0
		for i, w := range t.weights {
			if s.needed[i] = s.rng.Float64() < w; s.needed[i] {
				mask |= 1 << i
			}
		}
		if tables[mask] == nil {
			tables[mask] = map[*node]split{}
			s.table(t.root, tables[mask])
		}
		s.splits = tables[mask]
		if w, failed := s.session(t.root); failed {
			m.Failed++
			sum += w
			squares += w * w
		}
	}
	samples := float64(d.Samples)
	mean := sum / samples
	m.Availability = 1 - mean
	m.StandardErr = math.Sqrt(max(0, squares/samples-mean*mean) / samples)
	m.judge(t, beta, mean)
	return m
}

// judge compares the calculated figure with the drawn one.
func (m *MonteCarlo) judge(t *tree, beta, mean float64) {
	q, overlap := t.unavailability(beta)
	if m.StandardErr > 0 {
		m.Off = (mean - q) / m.StandardErr
	}
	switch {
	case math.Abs(mean-q) <= maxOff*m.StandardErr+overlap+1e-15 && (m.Failed >= minFailed || q == 0):
		m.Verdict = Agrees
	case m.Failed < minFailed:
		m.Verdict = TooFew
	default:
		m.Verdict = Disagrees
	}
}

// session draws one and returns its weight.
func (s *simulation) session(root *node) (weight float64, failed bool) {
	s.chosen = s.rng.IntN(len(s.biases))
	for i := range s.ratios {
		s.ratios[i] = 1
	}
	failed = s.down(root)
	sum := 0.0
	for _, r := range s.ratios {
		sum += r
	}
	return float64(len(s.ratios)) / sum, failed
}

// events counts what can be drawn.
func events(n *node) int {
	if n.children == nil {
		return 1
	}
	sum := 0
	if n.need < len(n.children) {
		sum++
	}
	for _, c := range n.children {
		sum += events(c)
	}
	return sum
}

// table notes how each redundant gate splits the failures of its children.
func (s *simulation) table(n *node, splits map[*node]split) {
	if n.children != nil && n.need < len(n.children) && !s.idle(n) {
		qs := make([]float64, len(n.children))
		for i, c := range n.children {
			qs[i] = s.node(c)
		}
		sp := split{common: s.common(n, qs), own: make([]float64, len(qs))}
		for i, q := range qs {
			sp.own[i] = share(q-sp.common, q)
		}
		splits[n] = sp
	}
	for _, c := range n.children {
		if _, known := splits[c]; !known { // copies share their node
			s.table(c, splits)
		}
	}
}

// draw says whether something of probability p happens, and notes how likely that is
// with each bias.
func (s *simulation) draw(p float64) bool {
	if p <= 0 || p >= 1 {
		return p >= 1
	}
	happens := s.rng.Float64() < max(p, s.biases[s.chosen])
	for i, b := range s.biases {
		if biased := max(p, b); happens {
			s.ratios[i] *= biased / p
		} else {
			s.ratios[i] *= (1 - biased) / (1 - p)
		}
	}
	return happens
}

func (s *simulation) down(n *node) bool {
	switch {
	case s.idle(n):
		return false
	case n.children == nil:
		return s.draw(n.q)
	case n.need == len(n.children): // all must work
		down := false
		for _, c := range n.children {
			if s.down(c) {
				down = true
			}
		}
		return down
	}
	sp := s.splits[n]
	down := s.draw(sp.common)
	working := 0
	for i, c := range n.children {
		// Of the child's failures, only those count here that are its own.
		if failed := s.down(c); !failed || s.rng.Float64() >= sp.own[i] {
			working++
		}
	}
	return down || working < n.need
}

// Downtime is how long something is out.
type Downtime struct {
	MinutesPerYear  float64 `json:"minutes_per_year"`
	MinutesPerMonth float64 `json:"minutes_per_month"`
}

func downtime(availability float64) Downtime {
	q := 1 - availability
	return Downtime{q * minutesPerMonth * 12, q * minutesPerMonth}
}

// greatestBeta is the greatest common-cause factor with which a target is met, if it
// is met with none.
func (t *tree) greatestBeta(target float64) (float64, bool) {
	meets := func(beta float64) bool {
		q, _ := t.unavailability(beta)
		return q <= (100-target)/100
	}
	if !meets(0) {
		return 0, false
	}
	if meets(1) {
		return 1, true
	}
	low, high := 0.0, 1.0
	for range 60 {
		if mid := (low + high) / 2; meets(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low, true
}

// redundant says whether any part has an alternative: only then does beta matter.
func redundant(n *node) bool {
	return n.children != nil && (n.need < len(n.children) || slices.ContainsFunc(n.children, redundant))
}
