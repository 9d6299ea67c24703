package token

import (
	"slices"
	"testing"
	"time"
)

// An invite with a home is as long as one without, and those of before are good.
func TestRegions(t *testing.T) {
	s, err := New(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	session := NewSession()
	for _, kind := range []Kind{Transfer, Room} {
		for home := 0; home <= MaxRegions; home++ {
			want := Invite{Session: session, Kind: kind, Home: home, Expires: now.Add(time.Hour)}
			text, err := s.SignInvite(want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Invite(text, now); err != nil || got != want || len(text) != 50 {
				t.Errorf("%q: %+v %v", text, got, err)
			}
			if other := text[:1]; home > 0 { // another home, with the MAC of this one
				moved := string(other[0]^1) + text[1:]
				if _, err := s.Invite(moved, now); err != ErrInvalid {
					t.Errorf("moved: %v", err)
				}
			}
		}
	}
	for _, home := range []int{-1, MaxRegions + 1} {
		if text, err := s.SignInvite(Invite{Session: session, Kind: Room, Home: home}); err == nil {
			t.Errorf("home %d: %q", home, text)
		}
	}
	g := Grant{Session: session, Peer: NewPeer(), Role: Guest, Expires: now.Add(time.Hour), Regions: []string{"na", "eu"}}
	text, err := s.SignGrant(g)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Grant(text, now); err != nil || !slices.Equal(got.Regions, g.Regions) {
		t.Errorf("%+v %v", got, err)
	}
}
