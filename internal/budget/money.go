package budget

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Take takes money for something else than bytes, such as messages at a bought service, from the
// day's and the month's accounts, so that their caps bound all that costs: up to want millionths, at
// least 1, which count as spent. It gives less where less is left, and nothing with ErrSpent, or the error of
// the file, which has to know first.
func (l *Ledger) Take(_ context.Context, want int64) (granted int64, err error) {
	if want <= 0 {
		return 0, errors.New("take money: nothing is wanted")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(time.Now())
	n := min(want, l.day.left.money, l.month.left.money)
	if n <= 0 {
		level := Day
		if l.month.left.money <= 0 {
			level = Month
		}
		l.metrics.refuse(refusedSpent[level])
		l.look()
		return 0, fmt.Errorf("take money: %s: %w", level, ErrSpent)
	}
	x := amount{0, n}
	if err := l.cover(x); err != nil { // before anything is given
		l.metrics.refuse(refusedFile)
		return 0, fmt.Errorf("take money: %w", err)
	}
	for _, a := range []*account{&l.day, &l.month} {
		a.settle(amount{}, x)
	}
	l.look()
	return n, nil
}

// look tells if day or month are spent, or nearly.
func (l *Ledger) look() {
	nobody := &grant{member: &member{}, session: &session{}}
	for level, a := range l.accounts(nobody) {
		switch {
		case Level(level) < Day:
		case a.exhausted():
			l.tell(Cut, Level(level), nobody)
		case a.nearly():
			l.tell(Warning, Level(level), nobody)
		}
	}
}
