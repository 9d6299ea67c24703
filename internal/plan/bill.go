package plan

import (
	"fmt"
	"slices"
)

// charge is an offer on a bill, and how many units of it.
type charge struct {
	Offer string
	Count int
}

// Line is one service of a bill.
type Line struct {
	Service    Service `json:"service"`
	Offer      string  `json:"offer"`
	Title      string  `json:"title"`
	Count      int     `json:"count"`
	Fixed      float64 `json:"fixed"`             // a month, whatever happens
	Usage      float64 `json:"usage"`             // a month, after what is free
	PerClick   float64 `json:"per_click"`         // both, by the click
	Share      float64 `json:"share"`             // of PerClick
	Next       float64 `json:"next_click"`        // one more click at list price, nothing free
	NextShare  float64 `json:"next_click_share"`  // of Next
	Remembered bool    `json:"remembered_prices"` // some of the prices used were not read
}

// Total is the sum of a bill.
type Total struct {
	Month    float64 `json:"month"`
	Fixed    float64 `json:"fixed"`
	PerClick float64 `json:"per_click"`
	Next     float64 `json:"next_click"`
}

// biller prices the clicks of a scenario.
type biller struct {
	book     Book
	scenario Scenario
}

// leg is what the relay carries of a click in the direction of the payload, in GB.
func (t Transfer) leg() float64 { return t.FileMB / 1000 * (1 + t.Overhead) * t.Relayed }

// factor is how many of its bytes a relay bills for each that it carries in the
// direction of the payload. This is where the side that holds the allocation matters:
// of two directions and two sides, ToClient bills a quarter.
func (t Transfer) factor(b Billing, a Allocation) float64 {
	back := t.Acks / (1 + t.Overhead)
	switch b {
	case ToClient:
		return map[Allocation]float64{BySender: back, ByReceiver: 1, ByBoth: 1 + back}[a]
	case Both:
		return map[Allocation]float64{BySender: 1 + back, ByReceiver: 1 + back, ByBoth: 2 * (1 + back)}[a]
	default: // Out: each packet leaves once, and stays inside between two allocations
		return 1 + back
	}
}

// perClick is how much of a meter one click takes from an offer.
func (b biller) perClick(m Meter, o Offer) float64 {
	s := b.scenario
	switch m {
	case RelayGB:
		return s.leg() * s.factor(o.Bills, s.Allocation)
	case Messages:
		return s.Work.Messages
	case Executions:
		return s.Work.Executions
	case GBSeconds:
		return s.Work.Executions * s.MemoryGB * s.Seconds
	case WebGB, FrontGB:
		return s.PageMB / 1000
	case Requests:
		return s.Work.Requests
	case Queries:
		return s.Work.Queries
	case Operations:
		return s.SecretReads
	case LogGB:
		return s.LogKB / 1e6
	case EgressGB:
		return s.EgressMB / 1000
	}
	return 0
}

// standing is how much of a meter a month takes without any click.
func (b biller) standing(m Meter, count int) float64 {
	s := b.scenario
	switch m {
	case Months:
		return float64(count)
	case VCPUSeconds:
		return float64(count) * s.VCPU * secondsPerMonth
	case GiBSeconds:
		return float64(count) * s.GiB * secondsPerMonth
	case StoredGB:
		return s.Standing.StoredGB
	case ReadyGBSeconds:
		return s.Ready * s.MemoryGB * secondsPerMonth
	}
	return 0
}

// bill prices a month of so many clicks. Where several offers count the same thing,
// clicks are spread over their units.
func (b biller) bill(charges []charge, clicks float64) ([]Line, Total, error) {
	units := map[Meter]int{}
	for _, c := range charges {
		o, ok := b.book.Offers[c.Offer]
		if !ok {
			return nil, Total{}, fmt.Errorf("the price book has no offer %q", c.Offer)
		}
		for _, r := range o.Rates {
			units[r.Meter] += c.Count
		}
	}
	var lines []Line
	var sum Total
	for _, c := range charges {
		o := b.book.Offers[c.Offer]
		l := Line{Service: o.Service, Offer: c.Offer, Title: o.Title, Count: c.Count}
		for _, r := range o.Rates {
			share := float64(c.Count) / float64(units[r.Meter])
			free := r.Free
			if r.FreeEach {
				free *= float64(c.Count)
			}
			click := b.perClick(r.Meter, o) * share
			fixed := max(0, b.standing(r.Meter, c.Count)-free) * r.Price
			usage := max(0, click*clicks-free) * r.Price
			l.Fixed += fixed
			l.Usage += usage
			l.Next += click * r.Price
			l.Remembered = l.Remembered || r.Remembered && (fixed > 0 || click > 0)
		}
		l.PerClick = (l.Fixed + l.Usage) / clicks
		sum.Fixed += l.Fixed
		sum.Month += l.Fixed + l.Usage
		sum.Next += l.Next
		lines = append(lines, l)
	}
	sum.PerClick = sum.Month / clicks
	for i := range lines {
		lines[i].Share = share(lines[i].PerClick, sum.PerClick)
		lines[i].NextShare = share(lines[i].Next, sum.Next)
	}
	slices.SortStableFunc(lines, func(x, y Line) int {
		switch {
		case x.PerClick > y.PerClick:
			return -1
		case x.PerClick < y.PerClick:
			return 1
		}
		return 0
	})
	return lines, sum, nil
}

func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// charges are the offers that the scenario uses.
func (s Scenario) charges() []charge {
	var list []charge
	for _, service := range services() {
		if id, ok := s.Use[service]; ok {
			list = append(list, charge{id, max(1, s.Count[service])})
		}
	}
	return list
}
