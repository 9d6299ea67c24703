package plan

import (
	"math"
	"slices"
)

// node is a topology as calculated with: a leaf, or a gate that works when need of its
// children do. A part with copies is a gate of that many children.
type node struct {
	q        float64 // of a leaf: the probability that it doesn't work
	children []*node
	need     int
	beta     *float64 // of this gate, in place of the topology's
	weight   int      // index into the weights, or -1: all sessions need it
}

// tree is a whole topology. The weights are shares of sessions that need a part; the
// copies of a part are needed by the same sessions.
type tree struct {
	root    *node
	weights []float64
}

func (t Topology) tree() *tree {
	tr := &tree{}
	tr.root = &node{weight: -1, need: len(t.Parts), children: tr.nodes(t.Parts)}
	return tr
}

func (t *tree) nodes(parts []Part) []*node {
	var list []*node
	for i := range parts {
		list = append(list, t.node(&parts[i]))
	}
	return list
}

func (t *tree) node(p *Part) *node {
	n := &node{weight: -1}
	switch {
	case p.SLA != nil:
		n.q = (100 - *p.SLA) / 100
	case len(p.All) > 0:
		n.children = t.nodes(p.All)
		n.need = len(n.children)
	default:
		n.children = t.nodes(p.Any)
		n.need, n.beta = p.need(), p.Beta
	}
	if p.copies() > 1 {
		gate := &node{weight: -1, need: p.need(), beta: p.Beta}
		for range p.copies() {
			gate.children = append(gate.children, n) // shared: identical, and independent when drawn
		}
		n = gate
	}
	if p.Weight != nil {
		n.weight = len(t.weights)
		t.weights = append(t.weights, *p.Weight)
	}
	return n
}

// needs calls f for each combination of needs with its probability.
func (t *tree) needs(f func(needed []bool, p float64)) {
	needed := make([]bool, len(t.weights))
	for mask := range 1 << len(t.weights) {
		p := 1.0
		for i, w := range t.weights {
			if needed[i] = mask&(1<<i) != 0; needed[i] {
				p *= w
			} else {
				p *= 1 - w
			}
		}
		if p > 0 {
			f(needed, p)
		}
	}
}

// unavailability is the probability that a session fails, with beta as common-cause
// factor of what is redundant. Overlap bounds what the beta-factor formula counts
// twice: that a common cause and independent failures meet.
func (t *tree) unavailability(beta float64) (q, overlap float64) {
	t.needs(func(needed []bool, p float64) {
		e := evaluation{beta: beta, needed: needed}
		q += p * e.node(t.root)
		overlap += p * e.overlap
	})
	return q, overlap
}

type evaluation struct {
	beta    float64
	needed  []bool
	overlap float64
}

func (e *evaluation) idle(n *node) bool { return n.weight >= 0 && !e.needed[n.weight] }

func (e *evaluation) node(n *node) float64 {
	switch {
	case e.idle(n):
		return 0
	case n.children == nil:
		return n.q
	}
	qs := make([]float64, len(n.children))
	for i, c := range n.children {
		qs[i] = e.node(c)
	}
	if n.need == len(qs) {
		return series(qs)
	}
	// The beta-factor model: a share of what the least of them is out for takes all of
	// them down together, the rest strikes each by itself. For two alike this is
	// Q2 = beta*q + ((1-beta)*q)^2.
	common := e.common(n, qs)
	for i := range qs {
		qs[i] -= common
	}
	alone := fewer(qs, n.need)
	e.overlap += common * alone
	return min(1, common+alone)
}

func (e *evaluation) common(n *node, qs []float64) float64 {
	beta := e.beta
	if n.beta != nil {
		beta = *n.beta
	}
	return beta * slices.Min(qs)
}

// series is the probability that not all work, 1-Π(1-q), without losing small ones
// in the difference from 1.
func series(qs []float64) float64 {
	sum := 0.0
	for _, q := range qs {
		sum += math.Log1p(-q)
	}
	return -math.Expm1(sum)
}

// fewer is the probability that fewer than need work, all independent.
func fewer(qs []float64, need int) float64 {
	working := make([]float64, len(qs)+1) // probability of so many working
	working[0] = 1
	for i, q := range qs {
		for k := i + 1; k >= 0; k-- {
			working[k] *= q
			if k > 0 {
				working[k] += working[k-1] * (1 - q)
			}
		}
	}
	sum := 0.0
	for _, p := range working[:need] {
		sum += p
	}
	return sum
}

// bounds are what availability is at least and at most, whatever depends on whatever.
func (t *tree) bounds() (low, high float64) {
	t.needs(func(needed []bool, p float64) {
		e := evaluation{needed: needed}
		l, h := e.bounds(t.root)
		low += p * l
		high += p * h
	})
	return min(1, low), min(1, high)
}

func (e *evaluation) bounds(n *node) (low, high float64) {
	switch {
	case e.idle(n):
		return 1, 1
	case n.children == nil:
		return 1 - n.q, 1 - n.q
	}
	var failures, works []float64
	for _, c := range n.children {
		l, h := e.bounds(c)
		failures = append(failures, 1-l)
		works = append(works, h)
	}
	return 1 - atMost(failures, len(failures)-n.need+1), atMost(works, n.need)
}

// atMost is the greatest probability that at least k of some events happen, of which
// only the probabilities are known (Rüger 1979). With k=1 and k=n these are Fréchet's
// bounds: the sum, and the least.
func atMost(ps []float64, k int) float64 {
	ps = slices.Sorted(slices.Values(ps))
	best := 1.0
	for r := range k {
		sum := 0.0
		for _, p := range ps[:len(ps)-r] {
			sum += p
		}
		best = min(best, sum/float64(k-r))
	}
	return best
}
