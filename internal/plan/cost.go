package plan

import (
	"fmt"
	"slices"
)

// Cost is what a scenario costs with the prices of a book.
type Cost struct {
	Title         string       `json:"title"`
	Note          string       `json:"note,omitempty"`
	Reconstructed bool         `json:"reconstructed"`
	Prices        string       `json:"prices"`
	Assumptions   []Assumption `json:"assumptions"`
	Allocation    Allocation   `json:"allocation"`
	Clicks        float64      `json:"clicks"`
	Lines         []Line       `json:"lines"` // the largest first
	Total         Total        `json:"total"`
	// HalvingSecond is the share of the total that is saved by halving the second-largest line.
	HalvingSecond float64       `json:"halving_second_largest_saves"`
	Scale         []Scale       `json:"scale"`
	Relays        []RelayOption `json:"relays"`
	BreakEven     []BreakEven   `json:"break_even"`
	Ads           *Advertising  `json:"ads,omitempty"`
	Remembered    []string      `json:"remembered"` // offers above with a price that was not read
}

// Assumption is a number that the scenario states, or that was measured.
type Assumption struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	From  string  `json:"from"`
}

// Where an assumption comes from.
const (
	FromScenario   = "scenario"
	FromFlag       = "flag"
	FromStatistics = "statistics"
)

// Scale is the cost of a click at another number of clicks a month.
type Scale struct {
	Clicks   float64 `json:"clicks"`
	Month    float64 `json:"month"`
	Fixed    float64 `json:"fixed_per_click"`
	PerClick float64 `json:"per_click"`
}

// RelayOption is what a click costs with another relay.
type RelayOption struct {
	Offer      string                 `json:"offer"`
	Title      string                 `json:"title"`
	Bills      Billing                `json:"bills"`
	PerGB      float64                `json:"per_gb"` // billed
	FreeGB     float64                `json:"free_gb"`
	Billed     float64                `json:"billed_per_carried"`  // bytes billed for each carried in the direction of the payload, with the scenario's allocation
	Relay      map[Allocation]float64 `json:"relay_by_allocation"` // the relay's part of the next click, by who holds the allocation
	Next       float64                `json:"next_click"`          // all of the next click, with the scenario's allocation
	RelayShare float64                `json:"relay_share"`
	NeededRPM  *float64               `json:"needed_rpm,omitempty"`   // that pays the next click
	PaidFileMB *float64               `json:"paid_file_mb,omitempty"` // that the scenario's advertisements pay for
	Remembered bool                   `json:"remembered_prices"`
}

// Estimate calculates what a scenario costs. From says which assumptions don't come
// from the scenario.
func Estimate(book Book, s Scenario, from map[string]string) (Cost, error) {
	b := biller{book, s}
	lines, total, err := b.bill(s.charges(), s.Clicks)
	if err != nil {
		return Cost{}, err
	}
	c := Cost{
		Title: s.Title, Note: s.Note, Reconstructed: s.Reconstructed, Prices: book.Title,
		Assumptions: s.assumptions(from), Allocation: s.Allocation, Clicks: s.Clicks, Lines: lines, Total: total,
	}
	if len(lines) > 1 {
		c.HalvingSecond = lines[1].Share / 2
	}
	if c.Scale, err = b.scales(); err != nil {
		return Cost{}, err
	}
	c.Relays = b.relayOptions(lines, total)
	if c.BreakEven, err = b.breakEvens(); err != nil {
		return Cost{}, err
	}
	if s.Ads.RPM > 0 {
		c.Ads = b.advertising(total)
	}
	for _, l := range lines {
		if l.Remembered {
			c.Remembered = append(c.Remembered, l.Offer)
		}
	}
	for _, r := range c.Relays {
		if r.Remembered && !slices.Contains(c.Remembered, r.Offer) {
			c.Remembered = append(c.Remembered, r.Offer)
		}
	}
	slices.Sort(c.Remembered)
	return c, nil
}

// assumptions lists what a click is assumed to do, without what is zero.
func (s Scenario) assumptions(from map[string]string) []Assumption {
	all := []Assumption{
		{"clicks", s.Clicks, "a month", ""}, {"file_mb", s.FileMB, "MB", ""}, {"overhead", s.Overhead, "of the payload", ""},
		{"acks", s.Acks, "of the payload", ""}, {"relayed", s.Relayed, "of the payload", ""},
		{"messages", s.Work.Messages, "of 2 KB", ""}, {"executions", s.Work.Executions, "", ""}, {"memory_gb", s.MemoryGB, "GB", ""},
		{"seconds", s.Seconds, "s an execution", ""}, {"page_mb", s.PageMB, "MB", ""}, {"requests", s.Work.Requests, "", ""},
		{"dns_queries", s.Work.Queries, "", ""}, {"secret_reads", s.SecretReads, "", ""}, {"log_kb", s.LogKB, "KB", ""}, {"egress_mb", s.EgressMB, "MB", ""},
		{"stored_gb", s.Standing.StoredGB, "GB", ""}, {"ready", s.Ready, "instances", ""}, {"vcpu", s.VCPU, "", ""}, {"gib", s.GiB, "GiB", ""},
	}
	var list []Assumption
	for _, a := range all {
		if a.Value == 0 {
			continue
		}
		if a.From = from[a.Name]; a.From == "" {
			a.From = FromScenario
		}
		list = append(list, a)
	}
	return list
}

// scales shows how the fixed part weighs on small numbers.
func (b biller) scales() ([]Scale, error) {
	var list []Scale
	for n := 1e3; n <= 1e7; n *= 10 {
		_, t, err := b.bill(b.scenario.charges(), n)
		if err != nil {
			return nil, err
		}
		list = append(list, Scale{n, t.Month, t.Fixed / n, t.PerClick})
	}
	return list, nil
}

// relayOptions puts each relay of the book in the place of the scenario's.
func (b biller) relayOptions(lines []Line, total Total) []RelayOption {
	s, others := b.scenario, total.Next
	for _, l := range lines {
		if l.Offer == s.Use[Relay] {
			others -= l.Next
		}
	}
	others = max(0, others)
	ids := b.book.relays()
	if used := s.Use[Relay]; used != "" && !slices.Contains(ids, used) {
		ids = append(ids, used)
	}
	var list []RelayOption
	for _, id := range ids {
		o := b.book.Offers[id]
		r, ok := o.rate(RelayGB)
		if !ok {
			continue
		}
		option := RelayOption{
			Offer: id, Title: o.Title, Bills: o.Bills, PerGB: r.Price, FreeGB: r.Free,
			Billed: s.factor(o.Bills, s.Allocation), Relay: map[Allocation]float64{}, Remembered: r.Remembered,
		}
		for _, a := range Allocations() {
			option.Relay[a] = s.leg() * s.factor(o.Bills, a) * r.Price
		}
		relay := option.Relay[s.Allocation]
		option.Next = others + relay
		option.RelayShare = share(relay, option.Next)
		if views := s.Ads.Views * s.Ads.Shown; views > 0 {
			rpm := option.Next / views * 1000
			option.NeededRPM = &rpm
			if relay > 0 && s.FileMB > 0 {
				mb := max(0, s.Ads.perClick()-others) / (relay / s.FileMB)
				option.PaidFileMB = &mb
			}
		}
		list = append(list, option)
	}
	return list
}

// Advertising is what a tier that advertisements pay for needs.
type Advertising struct {
	PerClick     float64  `json:"revenue_per_click"`
	RPM          float64  `json:"rpm"`
	NeededRPM    float64  `json:"needed_rpm"`            // at the scenario's clicks, with all that is fixed
	NeededNext   float64  `json:"needed_rpm_next_click"` // for the next click alone
	Margin       float64  `json:"margin_per_click"`
	FromClicks   *float64 `json:"from_clicks,omitempty"` // a month, from where on it pays; none if it never does
	ToClicks     *float64 `json:"to_clicks,omitempty"`   // up to where, if what is free ends
	SubsidyMonth float64  `json:"subsidy_month"`         // what is missing at the scenario's clicks
	Source       string   `json:"source"`
}

// perClick is what advertisements bring for a click.
func (a Ads) perClick() float64 { return a.Views * a.Shown * a.RPM / 1000 }

func (b biller) advertising(total Total) *Advertising {
	a := b.scenario.Ads
	r := &Advertising{PerClick: a.perClick(), RPM: a.RPM, Source: a.Source}
	if views := a.Views * a.Shown; views > 0 {
		r.NeededRPM, r.NeededNext = total.PerClick/views*1000, total.Next/views*1000
	}
	r.Margin = r.PerClick - total.PerClick
	r.SubsidyMonth = max(0, -r.Margin*b.scenario.Clicks)
	r.FromClicks, r.ToClicks = b.pays(r.PerClick)
	return r
}

// pays returns between which numbers of clicks a month revenue covers the bill. The
// bill bends where something free ends and rises ever steeper, so the range is one.
func (b biller) pays(revenue float64) (from, to *float64) {
	bends := []float64{0}
	for _, c := range b.scenario.charges() {
		o := b.book.Offers[c.Offer]
		for _, r := range o.Rates {
			free := r.Free
			if r.FreeEach {
				free *= float64(c.Count)
			}
			if q := b.perClick(r.Meter, o); q > 0 && free > 0 {
				bends = append(bends, free/q)
			}
		}
	}
	slices.Sort(bends)
	bends = append(bends, bends[len(bends)-1]*2+most)
	margin := func(n float64) float64 {
		if n == 0 {
			n = 1e-9 // only the fixed part
		}
		_, t, err := b.bill(b.scenario.charges(), n)
		if err != nil {
			return -1
		}
		return revenue*n - t.Month
	}
	for i := 1; i < len(bends); i++ {
		x, y := bends[i-1], bends[i]
		mx, my := margin(x), margin(y)
		zero := func() *float64 { n := x + (y-x)*mx/(mx-my); return &n }
		switch {
		case from == nil && mx >= 0:
			from = &bends[i-1]
			if my < 0 {
				return from, zero()
			}
		case from == nil && my >= 0:
			from = zero()
		case from != nil && my < 0:
			return from, zero()
		}
	}
	return from, nil
}

// BreakEven compares one way to run relays with the relays that can be bought.
type BreakEven struct {
	Own     string     `json:"own"`
	Month   float64    `json:"month"`  // what it costs, whatever it carries
	PerGB   float64    `json:"per_gb"` // counted, beyond what is included
	Billed  float64    `json:"billed_per_carried"`
	Free    float64    `json:"included_gb"` // counted
	Against []Crossing `json:"against"`
}

// Crossing is from where on the own relay is cheaper.
type Crossing struct {
	Offer  string   `json:"offer"`
	GB     *float64 `json:"gb,omitempty"` // carried a month, in the direction of the payload; none if never
	Clicks *float64 `json:"clicks,omitempty"`
}

func (b biller) breakEvens() ([]BreakEven, error) {
	s := b.scenario
	var list []BreakEven
	for _, own := range s.Own {
		w := ownRelay{month: own.Month + own.Hours*s.OperatorRate}
		if own.Machine != "" {
			o, ok := b.book.Offers[own.Machine]
			if !ok {
				return nil, fmt.Errorf("own relay %q: the price book has no offer %q", own.Name, own.Machine)
			}
			if r, ok := o.rate(Months); ok {
				w.month += r.Price * float64(own.Machines)
			}
			if r, ok := o.rate(RelayGB); ok {
				w.price, w.factor, w.included = r.Price, s.factor(o.Bills, s.Allocation), r.Free
				if r.FreeEach {
					w.included *= float64(own.Machines)
				}
			}
		}
		e := BreakEven{Own: own.Name, Month: w.month, PerGB: w.price, Billed: w.factor, Free: w.included}
		for _, id := range b.book.relays() {
			o := b.book.Offers[id]
			r, _ := o.rate(RelayGB)
			x := Crossing{Offer: id}
			if gb, ok := w.crosses(r.Price, s.factor(o.Bills, s.Allocation), r.Free); ok {
				x.GB = &gb
				if s.leg() > 0 {
					n := gb / s.leg()
					x.Clicks = &n
				}
			}
			e.Against = append(e.Against, x)
		}
		list = append(list, e)
	}
	return list, nil
}

// ownRelay costs month, and price for each GB beyond what is included. It counts
// factor GB for each that it carries in the direction of the payload.
type ownRelay struct{ month, price, factor, included float64 }

// crosses returns from how many GB a month on the own relay costs less than one that
// bills price for each counted GB beyond the free ones. Without traffic to pay for it
// is G* = free + month/price.
func (w ownRelay) crosses(price, factor, free float64) (float64, bool) {
	if price == 0 || factor == 0 {
		return 0, false
	}
	g := (free + w.month/price) / factor
	if w.price == 0 || w.factor*g <= w.included {
		return g, true
	}
	slope := price*factor - w.price*w.factor
	if slope <= 0 {
		return 0, false
	}
	return (w.month - w.price*w.included + price*free) / slope, true
}
