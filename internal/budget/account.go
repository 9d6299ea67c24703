package budget

import (
	"math"
	"math/bits"
)

// Unlimited is the cap of an account that has none.
const Unlimited = math.MaxInt64

// Level names an account in a grant's chain.
type Level uint8

// The levels, from the narrowest.
const (
	Credential Level = iota
	Member
	Session
	Day
	Month
	levels
)

var levelNames = [levels]string{"credential", "member", "session", "day", "month"}

// String is the level's name, a label of metrics.
func (l Level) String() string {
	if l >= levels {
		return "unknown"
	}
	return levelNames[l]
}

// amount is bytes, and money in millionths.
type amount struct{ bytes, money int64 }

func (a amount) plus(b amount) amount  { return amount{a.bytes + b.bytes, a.money + b.money} }
func (a amount) minus(b amount) amount { return amount{a.bytes - b.bytes, a.money - b.money} }

// account is one budget. Each field is kept by itself, so that their agreement can be
// checked: limit − left == spent + leased.
type account struct {
	limit, left, spent, leased amount
	warned, cut                bool // events that were sent
}

func newAccount(limit amount) account { return account{limit: limit, left: limit} }

func (a *account) lease(x amount) { a.left, a.leased = a.left.minus(x), a.leased.plus(x) }

// settle ends a lease of x, of which spent was spent; spent may be more.
func (a *account) settle(x, spent amount) {
	a.leased, a.spent = a.leased.minus(x), a.spent.plus(spent)
	a.left = a.left.plus(x).minus(spent)
}

// resize changes the limit, but not to less than is used.
func (a *account) resize(limit amount) {
	used := a.spent.plus(a.leased)
	limit.bytes, limit.money = max(limit.bytes, used.bytes), max(limit.money, used.money)
	a.left = a.left.plus(limit.minus(a.limit))
	a.limit = limit
}

// exhausted: nothing is left, and nothing leased that could come back.
func (a *account) exhausted() bool {
	return a.left.bytes <= 0 && a.leased.bytes <= 0 || a.limit.money != Unlimited && a.left.money <= 0 && a.leased.money <= 0
}

// nearly: four fifths are spent.
func (a *account) nearly() bool {
	return a.spent.bytes >= a.limit.bytes-a.limit.bytes/5 || a.limit.money != Unlimited && a.spent.money >= a.limit.money-a.limit.money/5
}

// gigabyte is what prices are for: the decimal one, as providers bill.
const gigabyte = 1_000_000_000

// maxPrice in millionths a gigabyte; what is computed with it fits.
const maxPrice = 1_000_000_000

// price is millionths of a currency a gigabyte.
type price int64

// cost returns what n more bytes cost on top of rest, which is in bytes times price, less than
// a millionth; and the new rest.
func (p price) cost(n, rest int64) (millionths, newRest int64) {
	hi, lo := bits.Mul64(uint64(n), uint64(p))
	lo, carry := bits.Add64(lo, uint64(rest), 0)
	q, r := bits.Div64(hi+carry, lo, gigabyte)
	return int64(q), int64(r)
}

// reserve returns what n bytes cost at most, rest included.
func (p price) reserve(n, rest int64) int64 {
	q, r := p.cost(n, rest)
	if r > 0 {
		q++
	}
	return q
}

// affordable returns how many bytes more than n money, on top of what is reserved for n, pays
// for; n and the answer are at most maxOutstanding.
func (p price) affordable(n, rest, money int64) int64 {
	if p == 0 {
		return maxOutstanding
	}
	money = min(money, p.reserve(maxOutstanding, rest)) // so that it fits
	if money < 0 {
		return 0
	}
	return max(0, ((p.reserve(n, rest)+money)*gigabyte-rest)/int64(p)-n)
}
