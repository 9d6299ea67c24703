package budget

import (
	"errors"
	"fmt"
	"testing"
)

// Admits says what Open says, and leaves nothing behind.
func TestAdmits(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 10 * mb}, Day: Cap{Bytes: 15 * mb}, MemberShare: 100, Limits: Limits{Members: 2}})
	a, b := Chain{Session: "s", Member: "a"}, Chain{Session: "s", Member: "b"}
	same := func(c Chain, declared int64, want error) {
		t.Helper()
		if err := l.Admits(c, declared); !errors.Is(err, want) {
			t.Errorf("admits %+v, %d: %v", c, declared, err)
		}
		id := fmt.Sprint("try ", c.Session, c.Member)
		if err := l.Open(id, c, declared); !errors.Is(err, want) {
			t.Errorf("open %+v, %d: %v", c, declared, err)
		}
		l.CloseGrant(id)
		if err := l.check(); err != nil {
			t.Error(err)
		}
	}
	same(a, 0, nil)
	same(a, 20*mb, ErrShort)
	if len(l.sessions) != 0 {
		t.Errorf("%d sessions stay", len(l.sessions))
	}
	must(t, l.Open("g", a, 0))
	if n, err := take(t, l, "g", mb, 10*mb); n != 10*mb || err != nil {
		t.Fatal(n, err)
	}
	same(b, 0, ErrSpent)
	same(Chain{Session: "t", Member: "a"}, 0, nil)
	same(Chain{Session: "t", Member: "a"}, 6*mb, ErrShort) // the day's
	for _, c := range []Chain{{Member: "a"}, {Session: "s"}} {
		if err := l.Admits(c, 0); err == nil {
			t.Errorf("%+v is admitted", c)
		}
	}
}

func TestEventConcerns(t *testing.T) {
	c := Chain{Session: "s", Member: "m"}
	for e, want := range map[Event]bool{
		{Level: Day}: true, {Level: Month}: true,
		{Level: Session, Session: "s"}: true, {Level: Session, Session: "t"}: false,
		{Level: Member, Session: "s", Member: "m"}: true, {Level: Member, Session: "s", Member: "n"}: false, {Level: Member, Session: "t", Member: "m"}: false,
		{Level: Credential, Session: "s", Member: "m", Grant: "g"}: true, {Level: Credential, Session: "s", Member: "m", Grant: "h"}: false,
	} {
		if e.Concerns(c, "g") != want {
			t.Errorf("%+v: want %t", e, want)
		}
	}
}
