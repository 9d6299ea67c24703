package guard

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"causeway/internal/guard/work"
)

// attacker asks for sessions, and may be able to do work, so many hashes a second.
type attacker struct {
	prefixes int
	hashes   float64 // a second; 0: it does no work
	saved    float64 // hashes it may yet do
	have     []Request
	admitted int
}

// ask is one request of the attack; n counts them.
func (x *attacker) ask(t *testing.T, g *Guard, n int) {
	r := Request{Action: Create, Addr: netip.AddrFrom4([4]byte{127, byte(16 + n%x.prefixes>>8), byte(n % x.prefixes), 1})}
	if len(x.have) > 0 {
		r, x.have = x.have[0], x.have[1:]
	}
	err := g.Admit(r)
	if err == nil {
		x.admitted++
		return
	}
	var no *Refusal
	if !errors.As(err, &no) {
		t.Fatal(err)
	}
	each := g.pressure[Create].Each()
	if cost := float64(each) * work.Parts; no.Work != "" && x.hashes > 0 && x.saved >= cost {
		x.saved -= cost
		text, err := work.Solve(t.Context(), no.Work)
		if err != nil {
			t.Fatal(err)
		}
		r.Work = text
		x.have = append(x.have, r)
	}
}

// TestFlood: in virtual time, ten sessions a second are begun from ten networks, and an attack asks
// for a thousand: honest users get in, the attack hardly, and the cap holds.
func TestFlood(t *testing.T) {
	const seconds, honestRate, attackRate = 3, 10, 1000
	for name, x := range map[string]*attacker{
		"one network":              {prefixes: 1},
		"1000 networks":            {prefixes: 1000},
		"1000 networks, with work": {prefixes: 1000, hashes: 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &purse{}
				p.cap.Store(300) // the attack could spend 3 000
				g := newGuard(t, Config{Purse: p, Prices: Prices{Execution: 1_000_000}})
				tried, in, asked := 0, 0, 0
				for i := range seconds * attackRate {
					if i%(attackRate/honestRate) == 0 {
						tried++
						if asks(t, g, Request{Action: Create, Addr: netip.AddrFrom4([4]byte{127, 9, byte(tried % 10), 1})}) == nil {
							in++
						}
					}
					x.saved = min(x.saved+x.hashes/attackRate, x.hashes)
					x.ask(t, g, asked)
					asked++
					time.Sleep(time.Second / attackRate)
				}
				if in*100 < tried*95 {
					t.Errorf("%d of %d honest users got in", in, tried)
				}
				if p.taken.Load() > p.cap.Load() {
					t.Errorf("%d spent of %d", p.taken.Load(), p.cap.Load())
				}
				if x.admitted*20 > asked {
					t.Errorf("%d of %d requests of the attack were served", x.admitted, asked)
				}
				t.Logf("honest %d of %d, attack %d of %d, spent %d of %d, %d hashes", in, tried, x.admitted, asked, p.taken.Load(), p.cap.Load(), g.pressure[Create].Each()*work.Parts)
			})
		})
	}
}
