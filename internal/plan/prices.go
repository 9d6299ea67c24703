package plan

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Service is what an offer does for us; a bill has one line a service.
type Service string

// The services. A machine runs our own binary, or our own relay.
const (
	Relay     Service = "relay"
	Realtime  Service = "realtime"
	Compute   Service = "compute"
	Web       Service = "web"
	Secrets   Service = "secrets"
	Database  Service = "database"
	Storage   Service = "storage"
	Telemetry Service = "telemetry"
	Egress    Service = "egress"
	Front     Service = "front"
	Machine   Service = "machine"
)

func services() []Service {
	return []Service{Relay, Realtime, Compute, Web, Secrets, Database, Storage, Telemetry, Egress, Front, Machine}
}

// Meter is what an offer counts.
type Meter string

// The meters. The first group counts by the month and grows with the number of units,
// the second doesn't, the third counts by the click.
const (
	Months      Meter = "month" // units there are
	VCPUSeconds Meter = "vcpu_seconds"
	GiBSeconds  Meter = "gib_seconds"

	StoredGB       Meter = "stored_gb"
	ReadyGBSeconds Meter = "ready_gb_seconds" // memory of always-ready instances

	RelayGB    Meter = "relay_gb" // which bytes count is the offer's Billing
	Messages   Meter = "messages"
	Executions Meter = "executions"
	GBSeconds  Meter = "gb_seconds"
	WebGB      Meter = "web_gb"
	FrontGB    Meter = "front_gb"
	Requests   Meter = "requests"
	Queries    Meter = "dns_queries"
	Operations Meter = "operations"
	LogGB      Meter = "log_gb"
	EgressGB   Meter = "egress_gb"
)

func meters() []Meter {
	return []Meter{Months, VCPUSeconds, GiBSeconds, StoredGB, ReadyGBSeconds, RelayGB, Messages, Executions, GBSeconds,
		WebGB, FrontGB, Requests, Queries, Operations, LogGB, EgressGB}
}

// Billing says which bytes a relay counts. The TURN client is the side that holds the
// allocation; the other side is a plain peer of the relay.
type Billing string

// The three rules in use.
const (
	ToClient Billing = "to_client" // from the server to the TURN client only
	Both     Billing = "both"      // to and from the TURN client, not to and from the peer
	Out      Billing = "out"       // all that leaves the server, to client or peer
)

// Book is a price book.
type Book struct {
	Title      string              `yaml:"title"`
	Note       string              `yaml:"note"`
	Currencies map[string]Currency `yaml:"currencies"`
	Offers     map[string]Offer    `yaml:"offers"`
}

// Currency is what one unit of it is in US dollars.
type Currency struct {
	USD    float64 `yaml:"usd"`
	Origin `yaml:",inline"`
}

// Offer is something that can be bought.
type Offer struct {
	Title    string  `yaml:"title"`
	Service  Service `yaml:"service"`
	Bills    Billing `yaml:"bills"`
	Currency string  `yaml:"currency"` // USD unless it says otherwise
	Note     string  `yaml:"note"`
	Rates    []Rate  `yaml:"rates"`
}

// Rate is the price of what one meter counts.
type Rate struct {
	Meter    Meter   `yaml:"meter"`
	Price    float64 `yaml:"price"`
	Per      float64 `yaml:"per"`       // how many the price is for; 1 by default
	Free     float64 `yaml:"free"`      // how many are free
	FreePer  string  `yaml:"free_per"`  // month, the default, or day
	FreeEach bool    `yaml:"free_each"` // for each unit that is paid by the month
	Origin   `yaml:",inline"`
}

// ReadBook reads and checks a price book.
func ReadBook(r io.Reader) (Book, error) {
	var b Book
	if err := decode(r, &b); err != nil {
		return Book{}, fmt.Errorf("read price book: %w", err)
	}
	if err := b.validate(); err != nil {
		return Book{}, fmt.Errorf("price book: %w", err)
	}
	return b.inDollars(), nil
}

const most = 1e12 // of anything, to stay far from overflow

func (b *Book) validate() error {
	var p problems
	if len(b.Offers) == 0 {
		p.add("no offers")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Currencies)) {
		p.within("currencies."+name+".usd", b.Currencies[name].USD, 1e-6, 1e6)
	}
	for _, id := range slices.Sorted(maps.Keys(b.Offers)) {
		b.validateOffer(&p, id)
	}
	return p.err()
}

func (b *Book) validateOffer(p *problems, id string) {
	o, where := b.Offers[id], "offers."+id
	if !slices.Contains(services(), o.Service) {
		p.add("%s: unknown service %q, not one of %s", where, o.Service, join(services()))
	}
	if _, ok := b.Currencies[o.Currency]; !ok && o.Currency != "" && o.Currency != "USD" {
		p.add("%s: currencies has no %q", where, o.Currency)
	}
	seen := map[Meter]bool{}
	for i, r := range o.Rates {
		at := fmt.Sprintf("%s.rates[%d]", where, i)
		switch {
		case !slices.Contains(meters(), r.Meter):
			p.add("%s: unknown meter %q, not one of %s", at, r.Meter, join(meters()))
		case seen[r.Meter]:
			p.add("%s: a second rate for %s", at, r.Meter)
		}
		seen[r.Meter] = true
		p.within(at+".price", r.Price, 0, most)
		p.within(at+".per", r.Per, 0, most)
		p.within(at+".free", r.Free, 0, most)
		if r.FreePer != "" && r.FreePer != "month" && r.FreePer != "day" {
			p.add("%s.free_per: %q is neither month nor day", at, r.FreePer)
		}
		if r.Source == "" {
			p.add("%s: no source", at)
		}
	}
	if known := slices.Contains([]Billing{ToClient, Both, Out}, o.Bills); seen[RelayGB] && !known {
		p.add("%s.bills: %q is not one of to_client, both, out", where, o.Bills)
	}
	if len(o.Rates) == 0 {
		p.add("%s: no rates", where)
	}
}

// inDollars returns the book with every price for one, by the month, in US dollars.
func (b Book) inDollars() Book {
	offers := map[string]Offer{}
	for id, o := range b.Offers {
		o.Rates = slices.Clone(o.Rates)
		for i := range o.Rates {
			r := &o.Rates[i]
			if r.Per > 0 {
				r.Price /= r.Per
			}
			if c, ok := b.Currencies[o.Currency]; ok {
				r.Price *= c.USD
				r.Remembered = r.Remembered || c.Remembered
			}
			if r.FreePer == "day" { // evenly used: a busy day pays, a quiet one wastes
				r.Free *= daysPerMonth
			}
			r.Per, r.FreePer = 1, "month"
		}
		o.Currency = "USD"
		offers[id] = o
	}
	b.Offers, b.Currencies = offers, nil
	return b
}

// rate returns the offer's rate for a meter.
func (o Offer) rate(m Meter) (Rate, bool) {
	i := slices.IndexFunc(o.Rates, func(r Rate) bool { return r.Meter == m })
	if i < 0 {
		return Rate{}, false
	}
	return o.Rates[i], true
}

// relays lists the offers of a relay by the byte, the dearest first.
func (b Book) relays() []string {
	var ids []string
	for id, o := range b.Offers {
		if _, ok := o.rate(RelayGB); ok && o.Service == Relay {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y string) int {
		a, _ := b.Offers[x].rate(RelayGB)
		c, _ := b.Offers[y].rate(RelayGB)
		if a.Price != c.Price {
			return map[bool]int{true: -1, false: 1}[a.Price > c.Price]
		}
		return strings.Compare(x, y)
	})
	return ids
}

func join[T ~string](list []T) string {
	var s []string
	for _, x := range list {
		s = append(s, string(x))
	}
	return strings.Join(s, ", ")
}
