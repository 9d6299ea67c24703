package credential

import (
	"strings"
	"testing"
	"time"
)

func TestGrant(t *testing.T) {
	const id = "AAECAwQFBgcICQoL"
	at := time.Unix(1_800_000_000, 0)
	user, pass, err := MintGrant([]byte("key"), 0x0102, id, "cw", at)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1800000000:v1.AQIAAQIDBAUGBwgJCgs"; user != want {
		t.Errorf("username %q, want %q", user, want)
	}
	if len(user) > 64 || len(pass) != 32 || pass != GrantPassword([]byte("key"), user, "cw") {
		t.Errorf("username of %d bytes, password %q", len(user), pass)
	}
	kid, got, expires, err := ParseGrant(user)
	if err != nil || kid != 0x0102 || got != id || !expires.Equal(at) {
		t.Errorf("parsed as %x, %q, %v, %v", kid, got, expires, err)
	}
	for _, other := range []string{
		GrantPassword([]byte("other"), user, "cw"), GrantPassword([]byte("key"), user, "other"), GrantPassword([]byte("key"), user+"x", "cw"),
	} {
		if other == pass {
			t.Error("the password does not depend on everything")
		}
	}
	for _, bad := range []string{"", "short", id + "A", strings.Replace(id, "A", "!", 1)} {
		if _, _, err := MintGrant([]byte("key"), 0, bad, "cw", at); err == nil {
			t.Errorf("minted for %q", bad)
		}
	}
	for _, bad := range []string{"", "1", "1:x", "x:v1.AQIAAQIDBAUGBwgJCgs", "1:v1.", "1:v1.AQIAAQIDBAUGBwgJCg", "1:v2.AQIAAQIDBAUGBwgJCgs",
		"1:v1.AQIAAQIDBAUGBwgJCgsA", "1:v1.AQIAAQIDBAUGBwgJCg=="} {
		if _, _, _, err := ParseGrant(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
}
