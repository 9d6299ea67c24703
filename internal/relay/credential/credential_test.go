package credential

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The vector was computed with: printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64
func TestPasswordVector(t *testing.T) {
	if got, want := Password([]byte("logen"), "1433895918:mini"), "XmHme+Hp9ofocsmpY0OojTowFWM="; got != want {
		t.Errorf("Password = %q, want %q", got, want)
	}
}

func TestMint(t *testing.T) {
	secret := []byte("a secret")
	at := time.Unix(1_800_000_000, 999)
	user, pass := Mint(secret, "alice@example.org", at)
	if strings.Contains(user, "alice") || strings.Contains(user, "example") {
		t.Errorf("username %q shows the member", user)
	}
	if len(user) > 64 {
		t.Errorf("username has %d bytes, want at most 64", len(user))
	}
	if pass != Password(secret, user) {
		t.Error("password does not belong to the username")
	}
	expires, holder, err := Parse(user)
	if err != nil || expires.Unix() != at.Unix() {
		t.Fatalf("Parse = %v, %v", expires, err)
	}
	again, _ := Mint(secret, "alice@example.org", at.Add(time.Hour))
	if _, h, _ := Parse(again); h != holder {
		t.Error("a member's second credential has another holder")
	}
	other, _ := Mint(secret, "bob", at)
	if _, h, _ := Parse(other); h == holder {
		t.Error("two members share a holder")
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		unix     int64
		holder   string
		ok       bool
	}{
		{"rest", "1700000000:alice", 1700000000, "alice", true},
		{"time only", "1700000000", 1700000000, "", true},
		{"colon in holder", "17:a:b", 17, "a:b", true},
		{"empty", "", 0, "", false},
		{"no time", ":alice", 0, "", false},
		{"not a number", "alice:17", 0, "", false},
		{"negative", "-1:alice", 0, "", false},
		{"plus", "+1:alice", 0, "", false},
		{"space", " 1:alice", 0, "", false},
		{"too many digits", "1700000000000:alice", 0, "", false},
		{"too long", "17:" + strings.Repeat("x", 200), 0, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expires, holder, err := Parse(tt.in)
			if !tt.ok {
				if !errors.Is(err, ErrUsername) {
					t.Fatalf("err = %v, want ErrUsername", err)
				}
				return
			}
			if err != nil || expires.Unix() != tt.unix || holder != tt.holder {
				t.Errorf("Parse = %d, %q, %v", expires.Unix(), holder, err)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	old, current := []byte("old"), []byte("current")
	both := [][]byte{current, old}
	user, _ := Mint(old, "m", time.Unix(1, 0))
	_, h, _ := Parse(user)
	if got := Select(both, h); string(got) != "old" {
		t.Errorf("minted with old, selected %q", got)
	}
	if got := Select(both, "somebody else's"); string(got) != "current" {
		t.Errorf("foreign holder selected %q, want the first", got)
	}
	if got := Select(nil, h); got != nil {
		t.Errorf("no secrets selected %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1700000000:alice")
	f.Add("-1")
	f.Add("000000000000:\x00")
	f.Fuzz(func(t *testing.T, s string) {
		expires, holder, err := Parse(s)
		if err != nil {
			return
		}
		if expires.Unix() < 0 || len(holder) > len(s) {
			t.Errorf("Parse(%q) = %v, %q", s, expires, holder)
		}
	})
}
