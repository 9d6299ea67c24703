package budget

import (
	"errors"
	"testing"
)

func TestDeclared(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 1000 * mb}, Allowance: 5 * mb})
	limit := func(id string) int64 { s, _ := l.Session(id); return s.Cap }
	must(t, l.Open("a", Chain{Session: "s", Member: "host"}, 100*mb))
	if got := limit("s"); got != 120*mb {
		t.Errorf("one declared: %d", got)
	}
	must(t, l.Open("b", Chain{Session: "s", Member: "guest"}, 100*mb))
	must(t, l.Open("b2", Chain{Session: "s", Member: "guest"}, 100*mb)) // a renewed credential is not another transfer
	must(t, l.Open("c", Chain{Session: "s", Member: "silent"}, 0))
	if got := limit("s"); got != 235*mb {
		t.Errorf("two declared: %d", got)
	}
	must(t, l.Declare("b", 200*mb))
	if got := limit("s"); got != 350*mb {
		t.Errorf("a larger one later: %d", got)
	}
	// One member may spend it all, if only one side needs the relay.
	if n, err := take(t, l, "a", 10*mb, 1<<40); n != 350*mb || !errors.Is(err, ErrSpent) {
		t.Errorf("took %d: %v", n, err)
	}
	// What is leased already is not taken back.
	must(t, l.Open("e", Chain{Session: "s3", Member: "host"}, 0))
	if n, err := l.Lease(t.Context(), "e", 300*mb); n != 300*mb || err != nil {
		t.Fatal(n, err)
	}
	must(t, l.Open("e", Chain{Session: "s3", Member: "host"}, 10*mb))
	if s, _ := l.Session("s3"); s.Cap != 300*mb || s.Left != 0 {
		t.Errorf("%+v", s)
	}
	if err := l.Declare("nobody", mb); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown grant: %v", err)
	}
}

// A file that the session's budget has room for passes, whichever member pays for it; the shares hold where
// nothing was declared.
func TestOneMemberMayPayForAllThatWasDeclared(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 1000 * mb}})
	must(t, l.Open("g", Chain{Session: "s", Member: "guest"}, 0)) // who asked before the size was known
	must(t, l.Open("h", Chain{Session: "s", Member: "host"}, 0))
	must(t, l.Declare("h", 860*mb))
	must(t, l.Declare("g", 860*mb))
	if n, err := take(t, l, "h", 10*mb, 960*mb); n != 960*mb || err != nil {
		t.Errorf("took %d: %v", n, err)
	}
	must(t, l.Open("i", Chain{Session: "s2", Member: "silent"}, 0))
	must(t, l.Open("j", Chain{Session: "s2", Member: "other"}, 0))
	if n, err := take(t, l, "i", 10*mb, 1<<40); n != 600*mb || !errors.Is(err, ErrSpent) {
		t.Errorf("without a word about its size: took %d: %v", n, err)
	}
	if n, err := take(t, l, "j", 10*mb, 1<<40); n != 400*mb || !errors.Is(err, ErrSpent) {
		t.Errorf("the other: took %d: %v", n, err)
	}
}

// What can't pass is refused when it is declared, and leaves nothing behind.
func TestShort(t *testing.T) {
	l := open(t, Config{Session: Cap{Bytes: 1000 * mb}, Day: Cap{Bytes: 1500 * mb}})
	short := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrShort) || !errors.Is(err, ErrSpent) {
			t.Errorf("%s: %v", what, err)
		}
	}
	short("more than a session has", l.Open("a", Chain{Session: "s", Member: "host"}, 870*mb))
	if _, ok := l.Session("s"); ok {
		t.Error("a session of nothing")
	}
	short("beyond all numbers", l.Open("a", Chain{Session: "s", Member: "host"}, 1<<62))
	must(t, l.Open("a", Chain{Session: "s", Member: "host"}, 500*mb))
	short("declared later", l.Declare("a", 870*mb))
	must(t, l.Declare("a", 860*mb)) // the session's limit was that of less
	if n, err := take(t, l, "a", 10*mb, 900*mb); n != 900*mb || err != nil {
		t.Fatal(n, err)
	}
	short("more than the session has left", l.Open("b", Chain{Session: "s", Member: "guest"}, 100*mb))
	must(t, l.Open("c", Chain{Session: "s2", Member: "host"}, 500*mb))
	short("more than the day has left", l.Open("d", Chain{Session: "s2", Member: "guest"}, 600*mb))
	must(t, l.Open("e", Chain{Session: "s", Member: "guest"}, 80*mb))
}
