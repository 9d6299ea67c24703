package budget

import "time"

// periods returns when the UTC day and the UTC month of now end.
func periods(now time.Time) (dayEnds, monthEnds time.Time) {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
}

// dayOf and monthOf name the period that ends then.
func dayOf(ends time.Time) string   { return ends.AddDate(0, 0, -1).Format(time.DateOnly) }
func monthOf(ends time.Time) string { return ends.AddDate(0, -1, 0).Format("2006-01") }

// roll begins a new day and month when it is time. What is leased moves along, as it will be
// delivered in the new one; what was spent stays behind.
func (l *Ledger) roll(now time.Time) {
	if now.Before(l.dayEnds) {
		return
	}
	monthEnded := !now.Before(l.monthEnds)
	l.dayEnds, l.monthEnds = periods(now)
	renew(&l.day, l.cfg.Day.amount())
	if monthEnded {
		renew(&l.month, l.cfg.Month.amount())
	}
	for _, s := range l.sessions {
		l.rollSession(s)
	}
}

// rollSession begins a new day for a session that has a cap for each.
func (l *Ledger) rollSession(s *session) {
	if s.daily == (Cap{}) {
		return
	}
	renew(&s.account, l.sessionLimit(s))
	for _, m := range s.members {
		renew(&m.account, l.memberLimit(s, m.declared))
	}
}

// renew makes an account that has spent nothing, of what is leased.
func renew(a *account, limit amount) {
	leased := a.leased
	*a = newAccount(limit)
	a.lease(leased)
}

// used is what day and month have spent and leased.
func (l *Ledger) used() [2]amount {
	return [2]amount{l.day.spent.plus(l.day.leased), l.month.spent.plus(l.month.leased)}
}

// cover makes sure that the file knows of what is used and of x on top.
func (l *Ledger) cover(x amount) error {
	used := l.used()
	used[0], used[1] = used[0].plus(x), used[1].plus(x)
	day, month := dayOf(l.dayEnds), monthOf(l.monthEnds)
	if l.journal.covers(used, day, month) {
		return nil
	}
	ahead := [2]amount{ahead(used[0], l.day.limit), ahead(used[1], l.month.limit)}
	err := l.journal.write(ahead, day, month)
	l.metrics.writes(err)
	return err
}

// maxAhead is how far the mark goes ahead of what is used, in bytes.
const maxAhead = 64 << 20

// ahead returns a mark for used: by 1/256 of the limit ahead, but not beyond the limit.
func ahead(used, limit amount) amount {
	step := func(used, limit, most int64) int64 {
		return max(used, min(limit, used+min(limit/256, most)))
	}
	// 1 000 000 is one unit of the currency; 64 MiB don't cost more, as a rule.
	return amount{step(used.bytes, limit.bytes, maxAhead), step(used.money, limit.money, 1_000_000)}
}
