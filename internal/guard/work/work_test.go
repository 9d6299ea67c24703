package work

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var key = []byte("a key of thirty-two bytes, of old")

func TestSolveAndCheck(t *testing.T) {
	i := NewIssuer(key)
	now := time.Now()
	challenge := i.Challenge(1, 42, 64, now.Add(time.Minute))
	text, err := Solve(t.Context(), challenge)
	if err != nil {
		t.Fatal(err)
	}
	p, err := i.Check(text, 1, 42, now)
	if err != nil || p.Each != 64 {
		t.Fatal(p, err)
	}
	if _, err := NewIssuer(key).Check(text, 1, 42, now); err != nil {
		t.Errorf("another process with the same key: %v", err)
	}
	flip := func(at int) string {
		c, s, _ := decode(text)
		all := append(c[:], s[:]...)
		all[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(all[:challengeSize]) + "." + base64.RawURLEncoding.EncodeToString(all[challengeSize:])
	}
	unsolved := func() int { // where a bit of the first solution can be flipped so that it is none
		c, s, _ := decode(text)
		for at := range 4 {
			if n := binary.BigEndian.Uint32(s[:]); !solves(&c, 0, n^1<<(24-8*at), 64) {
				return challengeSize + at
			}
		}
		t.Fatal("each number is a solution")
		return 0
	}
	for name, c := range map[string]struct {
		text   string
		action byte
		prefix uint64
		at     time.Time
		want   error
	}{
		"empty":           {"", 1, 42, now, ErrMalformed},
		"no solution":     {challenge, 1, 42, now, ErrMalformed},
		"too long":        {text + "A", 1, 42, now, ErrMalformed},
		"other version":   {flip(0), 1, 42, now, ErrMalformed},
		"reserved":        {flip(2), 1, 42, now, ErrMalformed},
		"line break":      {text[:50] + "\n" + text[51:], 1, 42, now, ErrMalformed},
		"other action":    {text, 2, 42, now, ErrForeign},
		"forged action":   {flip(1), 0, 42, now, ErrForeign},
		"other network":   {text, 1, 43, now, ErrForeign},
		"made easier":     {flip(7), 1, 42, now, ErrForeign},
		"made to last":    {flip(11), 1, 42, now, ErrForeign},
		"other number":    {flip(15), 1, 42, now, ErrForeign},
		"forged MAC":      {flip(20), 1, 42, now, ErrForeign},
		"late":            {text, 1, 42, now.Add(time.Minute), ErrExpired},
		"first changed":   {flip(unsolved()), 1, 42, now, ErrUnsolved},
		"another process": {text, 1, 42, now, nil},
	} {
		is := i
		if name == "another process" {
			is, c.want = NewIssuer([]byte("another key")), ErrForeign
		}
		if _, err := is.Check(c.text, c.action, c.prefix, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestVectors are shared with web/lib: both solve to the same text, as both count from 0.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("../../../web/lib/testdata/work.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Challenge, Solved string }
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if got, err := Solve(t.Context(), v.Challenge); got != v.Solved {
			t.Errorf("%s: %s, %v", v.Challenge, got, err)
		}
	}
}

func TestSolveEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hard := NewIssuer(key).Challenge(0, 0, MaxEach, time.Now())
	if _, err := Solve(ctx, hard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(hard)
	binary.BigEndian.PutUint32(raw[4:], MaxEach+1)
	if _, err := Solve(t.Context(), base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, ErrMalformed) {
		t.Errorf("an endless challenge: %v", err)
	}
}

// TestCost: the work is what it says, on average. The counts don't depend on the machine.
func TestCost(t *testing.T) {
	i := NewIssuer(key)
	const each, runs = 32, 40
	tries := 0
	for n := range uint64(runs) {
		text, err := Solve(t.Context(), i.Challenge(0, n, each, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		_, s, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		for part := range Parts {
			tries += int(binary.BigEndian.Uint32(s[4*part:])) + 1
		}
	}
	if mean := float64(tries) / runs / Parts; mean < each*0.8 || mean > each*1.2 { // 640 geometric draws: σ is 4 %
		t.Errorf("%.1f hashes a puzzle, want %d", mean, each)
	}
}

func TestSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSpent(time.Minute, 3)
		id := func(n byte) Proof { return Proof{ID: [16]byte{n}} }
		if !s.Use(id(1), time.Now()) || s.Use(id(1), time.Now()) {
			t.Error("want once, and not twice")
		}
		for range 59 { // till it has expired for sure
			time.Sleep(time.Second)
			if s.Use(id(1), time.Now()) {
				t.Fatal("used again")
			}
		}
		time.Sleep(2 * time.Second)
		if s.Use(id(1), time.Now()) {
			t.Error("forgotten with its generation")
		}
		if !s.Use(id(2), time.Now()) || !s.Use(id(3), time.Now()) || !s.Use(id(4), time.Now()) || s.Use(id(5), time.Now()) {
			t.Error("want three more and then no more")
		}
		time.Sleep(time.Minute)
		if !s.Use(id(5), time.Now()) {
			t.Error("the next generation is full, too")
		}
		time.Sleep(time.Hour)
		if !s.Use(id(1), time.Now()) || len(s.old) != 0 {
			t.Error("what has long expired is kept")
		}
	})
}

func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPressure(20)
		second := func(asked, served int) {
			for n := range asked {
				p.Asked(time.Now())
				if n < served {
					p.Served(time.Now())
				}
			}
			time.Sleep(time.Second)
		}
		for range 10 {
			second(20, 20)
		}
		if p.Each() != 0 {
			t.Error("work at a rate that is fine")
		}
		second(1000, 20) // nobody has solved anything
		if p.Each() != Easiest {
			t.Errorf("under attack: %d", p.Each())
		}
		for range 10 {
			second(1000, 15)
		}
		if p.Each() != Easiest {
			t.Errorf("an attack without work makes it harder: %d", p.Each())
		}
		for range 8 {
			second(1000, 1000)
		}
		if p.Each() != Hardest || p.Enough(Easiest) || !p.Enough(Hardest/grace) {
			t.Errorf("an attack with work: %d", p.Each())
		}
		for range 10 {
			second(1000, 5)
		}
		if p.Each() != Easiest {
			t.Errorf("hardly anybody solves it: %d", p.Each())
		}
		for n := range calm {
			if p.Each() == 0 {
				t.Fatalf("over after %d quiet seconds", n)
			}
			second(5, 5)
		}
		if second(0, 0); p.Asked(time.Now()) != 0 {
			t.Error("never over")
		}
		second(1000, 0)
		time.Sleep(time.Hour)
		if p.Asked(time.Now()); p.Each() != 0 {
			t.Error("an hour later")
		}
	})
}

func FuzzCheck(f *testing.F) {
	i := NewIssuer(key)
	now := time.Unix(1_800_000_000, 0)
	good, err := Solve(f.Context(), i.Challenge(1, 42, 8, now.Add(time.Minute)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add(strings.Repeat("A", textSize))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := i.Check(text, 1, 42, now)
		if err != nil {
			return
		}
		if p.Each < 1 || p.Each > MaxEach || !now.Before(p.Expires) {
			t.Errorf("accepted %q as %+v", text, p)
		}
		// There is one text for a solution, or it could be used twice by writing it in another way.
		if c, s, _ := decode(text); base64.RawURLEncoding.EncodeToString(c[:])+"."+base64.RawURLEncoding.EncodeToString(s[:]) != text {
			t.Errorf("accepted another spelling: %q", text)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	i := NewIssuer(key)
	now := time.Now()
	good, err := Solve(b.Context(), i.Challenge(1, 42, 1024, now.Add(time.Minute)))
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{"solved": good, "forged": good[:30] + "AAAA" + good[34:], "garbage": good[:40]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = i.Check(text, 1, 42, now)
			}
		})
	}
	b.Run("challenge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			i.Challenge(1, 42, 1024, now)
		}
	})
}
