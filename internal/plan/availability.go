package plan

// Planning is what every report of availability says about itself.
const Planning = "Planning figures: a product of SLAs is no promise. SLAs are credit contracts with different definitions, failures are not independent " +
	"(Microsoft advises against multiplying them), and what they leave out fails too. What counts is the measured share of sessions that worked."

// Availability is what a topology can be planned with.
type Availability struct {
	Title       string         `json:"title"`
	Note        string         `json:"note,omitempty"`
	Planning    string         `json:"planning"`
	Parts       []PartRow      `json:"parts"`
	Independent Figure         `json:"independent"`
	Lowest      Figure         `json:"lowest"`  // without any assumption
	Highest     Figure         `json:"highest"` // without any assumption
	Redundant   bool           `json:"redundant"`
	Correlated  []Correlated   `json:"correlated"`
	Targets     []TargetAnswer `json:"targets,omitempty"`
	Cost        Bill           `json:"cost"`
}

// PartRow is a part as the topology states it.
type PartRow struct {
	Name       string   `json:"name"`
	Depth      int      `json:"depth"`
	Rule       string   `json:"rule"` // how its own parts count, if it has any
	SLA        *float64 `json:"sla,omitempty"`
	Weight     *float64 `json:"weight,omitempty"`
	Source     string   `json:"source,omitempty"`
	Date       string   `json:"date,omitempty"`
	Remembered bool     `json:"remembered"`
}

// Figure is an availability with the time that it leaves out.
type Figure struct {
	Availability float64 `json:"availability"`
	Downtime
}

func figure(availability float64) Figure { return Figure{availability, downtime(availability)} }

// Correlated is the figure with a common-cause factor, and its check.
type Correlated struct {
	Beta float64 `json:"beta"`
	Figure
	Check MonteCarlo `json:"monte_carlo"`
}

// TargetAnswer says with which common-cause factors a target is met.
type TargetAnswer struct {
	Percent float64  `json:"percent"`
	MaxBeta *float64 `json:"max_beta,omitempty"` // none: not met with any
}

// Bill is what a topology costs.
type Bill struct {
	Scenario string  `json:"scenario"`
	Clicks   float64 `json:"clicks"`
	Prices   string  `json:"prices"`
	Lines    []Line  `json:"lines"`
	Total    Total   `json:"total"`
	Relay    bool    `json:"relay_included"`
}

// Drawing is how the Monte-Carlo check draws.
type Drawing struct {
	Samples int
	Seed    uint64
}

// Assess calculates what a topology can be planned with, and what it costs with the
// usage of a scenario, whose own offers don't count.
func Assess(t Topology, book Book, s Scenario, d Drawing) (Availability, error) {
	tr := t.tree()
	q, _ := tr.unavailability(0)
	low, high := tr.bounds()
	a := Availability{
		Title: t.Title, Note: t.Note, Planning: Planning, Parts: rows(t.Parts, 0),
		Independent: figure(1 - q), Lowest: figure(low), Highest: figure(high), Redundant: redundant(tr.root),
	}
	betas := t.Betas
	if !a.Redundant {
		betas = []float64{0}
	}
	for i, beta := range betas {
		q, _ := tr.unavailability(beta)
		a.Correlated = append(a.Correlated, Correlated{beta, figure(1 - q), tr.simulate(beta, d, uint64(i))})
	}
	for _, target := range t.Targets {
		answer := TargetAnswer{Percent: target}
		if beta, ok := tr.greatestBeta(target); ok {
			answer.MaxBeta = &beta
		}
		a.Targets = append(a.Targets, answer)
	}
	s.Use = nil
	lines, total, err := biller{book, s}.bill(t.charges(), s.Clicks)
	if err != nil {
		return Availability{}, err
	}
	a.Cost = Bill{Scenario: s.Title, Clicks: s.Clicks, Prices: book.Title, Lines: lines, Total: total}
	for _, l := range lines {
		if _, ok := book.Offers[l.Offer].rate(RelayGB); ok {
			a.Cost.Relay = true
		}
	}
	return a, nil
}

func rows(parts []Part, depth int) []PartRow {
	var list []PartRow
	for i := range parts {
		p := &parts[i]
		list = append(list, PartRow{p.Name, depth, p.rule(), p.SLA, p.Weight, p.Source, p.Date, p.Remembered})
		list = append(list, rows(p.All, depth+1)...)
		list = append(list, rows(p.Any, depth+1)...)
	}
	return list
}
