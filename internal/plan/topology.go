package plan

import (
	"fmt"
	"io"
	"slices"
)

// Topology is what must work for a session to work.
type Topology struct {
	Title   string    `yaml:"title"`
	Note    string    `yaml:"note"`
	Betas   []float64 `yaml:"betas"`   // common-cause factors to calculate with
	Targets []float64 `yaml:"targets"` // percent that somebody wants
	Parts   []Part    `yaml:"parts"`   // all must work
	Extras  []Extra   `yaml:"extras"`  // on the bill, not on the path
}

// Part is one thing with a figure, or several things: all of which must work, or any
// of which will do.
type Part struct {
	Name   string   `yaml:"name"`
	SLA    *float64 `yaml:"sla"` // percent
	All    []Part   `yaml:"all"`
	Any    []Part   `yaml:"any"`
	Copies int      `yaml:"copies"` // identical ones, each complete; 1 by default
	Need   int      `yaml:"need"`   // how many of the copies, or of Any, must work; 1 by default
	Beta   *float64 `yaml:"beta"`   // of this redundancy, in place of the topology's
	Weight *float64 `yaml:"weight"` // share of sessions that need it; 1 by default
	Offer  string   `yaml:"offer"`  // what is paid for it
	Units  int      `yaml:"units"`  // of the offer, for each copy; 1 by default
	Origin `yaml:",inline"`
}

// Extra is paid for without being needed by a session.
type Extra struct {
	Offer string `yaml:"offer"`
	Units int    `yaml:"units"`
	Why   string `yaml:"why"`
}

// Bounds of a topology: deep and wide enough for any that a person writes.
const (
	maxDepth   = 8
	maxParts   = 64  // as written
	maxCopies  = 16  // of one part
	maxEvents  = 512 // with all copies
	maxWeights = 6
	maxList    = 32 // betas, targets, extras; own relays of a scenario
)

// ReadTopology reads and checks a topology.
func ReadTopology(r io.Reader) (Topology, error) {
	var t Topology
	if err := decode(r, &t); err != nil {
		return Topology{}, fmt.Errorf("read topology: %w", err)
	}
	if len(t.Betas) == 0 {
		t.Betas = []float64{0, 0.01, 0.05, 0.1}
	}
	if err := t.Validate(); err != nil {
		return Topology{}, fmt.Errorf("topology: %w", err)
	}
	return t, nil
}

// Validate checks a topology.
func (t *Topology) Validate() error {
	var p problems
	if len(t.Parts) == 0 {
		p.add("no parts")
	}
	if len(t.Betas) > maxList || len(t.Targets) > maxList || len(t.Extras) > maxList {
		p.add("at most %d betas, targets and extras", maxList)
		return p.err()
	}
	for i, b := range t.Betas {
		p.within(fmt.Sprintf("betas[%d]", i), b, 0, 1)
	}
	for i, target := range t.Targets {
		p.within(fmt.Sprintf("targets[%d]", i), target, 0, 100)
	}
	count := counts{}
	for i := range t.Parts {
		count.part(&p, &t.Parts[i], "parts", i, 1, 1)
	}
	if count.parts > maxParts || count.events > maxEvents || count.weights > maxWeights {
		p.add("too large: at most %d parts, %d with all copies, %d of them with a weight", maxParts, maxEvents, maxWeights)
	}
	for i, e := range t.Extras {
		if e.Offer == "" {
			p.add("extras[%d]: no offer", i)
		}
		p.within(fmt.Sprintf("extras[%d].units", i), float64(e.Units), 0, 1e6)
	}
	return p.err()
}

// counts adds up the size of a topology while it is checked.
type counts struct{ parts, events, weights int }

func (c *counts) part(p *problems, part *Part, list string, i, depth, copies int) {
	at := fmt.Sprintf("%s[%d]", list, i)
	if part.Name == "" {
		p.add("%s: no name", at)
	} else {
		at += fmt.Sprintf(" (%s)", part.Name)
	}
	c.parts++
	if depth > maxDepth || c.parts > maxParts {
		p.add("%s: too deep or too many", at)
		return
	}
	kinds := 0
	for _, is := range []bool{part.SLA != nil, len(part.All) > 0, len(part.Any) > 0} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		p.add("%s: needs one of sla, all and any", at)
	}
	if part.SLA != nil {
		p.within(at+": sla", *part.SLA, 0, 100)
		if part.Source == "" {
			p.add("%s: no source of its sla", at)
		}
	}
	for what, x := range map[string]*float64{"beta": part.Beta, "weight": part.Weight} {
		if x != nil {
			p.within(at+": "+what, *x, 0, 1)
		}
	}
	if part.Weight != nil {
		c.weights++
	}
	p.within(at+": copies", float64(part.Copies), 0, maxCopies)
	p.within(at+": units", float64(part.Units), 0, 1e6)
	most := part.copies()
	if len(part.Any) > 0 {
		most = len(part.Any)
		if part.Copies > 1 {
			p.add("%s: copies of any are not told apart: list them under any", at)
		}
	}
	p.within(at+": need", float64(part.Need), 0, float64(most))
	copies *= part.copies()
	if c.events += copies; copies > maxEvents {
		return
	}
	for i := range part.All {
		c.part(p, &part.All[i], at+".all", i, depth+1, copies)
	}
	for i := range part.Any {
		c.part(p, &part.Any[i], at+".any", i, depth+1, copies)
	}
}

func (p *Part) copies() int { return max(1, p.Copies) }
func (p *Part) need() int   { return max(1, p.Need) }

// charges is what the topology pays for, by offer.
func (t Topology) charges() []charge {
	var list []charge
	add := func(offer string, n int) {
		if offer == "" {
			return
		}
		if i := slices.IndexFunc(list, func(c charge) bool { return c.Offer == offer }); i >= 0 {
			list[i].Count += n
			return
		}
		list = append(list, charge{offer, n})
	}
	var walk func(parts []Part, copies int)
	walk = func(parts []Part, copies int) {
		for i := range parts {
			p := &parts[i]
			n := copies * p.copies()
			add(p.Offer, n*max(1, p.Units))
			walk(p.All, n)
			walk(p.Any, n)
		}
	}
	walk(t.Parts, 1)
	for _, e := range t.Extras {
		add(e.Offer, max(1, e.Units))
	}
	return list
}

// rule says in words how the part's own parts and copies count.
func (p *Part) rule() string {
	rule := ""
	switch {
	case len(p.All) > 0:
		rule = "all of"
	case len(p.Any) > 0:
		rule = fmt.Sprintf("%d of %d", p.need(), len(p.Any))
	}
	if p.copies() > 1 {
		copies := fmt.Sprintf("%d of %d copies", p.need(), p.copies())
		if rule == "" {
			return copies
		}
		return copies + ", each " + rule
	}
	return rule
}
