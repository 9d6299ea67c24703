package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newSigner(t *testing.T, fill byte) *Signer {
	t.Helper()
	s, err := New(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInviteRoundTrip(t *testing.T) {
	s := newSigner(t, 1)
	want := Invite{Session: NewSession(), Kind: Transfer, Expires: now.Add(time.Hour)}
	text, err := s.SignInvite(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != 50 {
		t.Errorf("an invite has %d characters, the protocol says 50", len(text))
	}
	got, err := s.Invite(text, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Session != want.Session || !got.Expires.Equal(want.Expires) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := s.Invite(text, want.Expires); !errors.Is(err, ErrExpired) {
		t.Errorf("at its expiry: %v, want ErrExpired", err)
	}
	if _, err := newSigner(t, 2).Invite(text, want.Expires); !errors.Is(err, ErrInvalid) {
		t.Errorf("another key, expired: %v, want ErrInvalid", err)
	}
}

// Every single-bit change of an invite is found, in each of its bytes.
func TestInviteTampered(t *testing.T) {
	s := newSigner(t, 1)
	text, err := s.SignInvite(Invite{Session: NewSession(), Kind: Transfer, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			b := bytes.Clone(raw)
			b[i] ^= 1 << bit
			if _, err := s.Invite(base64.RawURLEncoding.EncodeToString(b), now); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d bit %d flipped: %v, want ErrInvalid", i, bit, err)
			}
		}
	}
	for _, bad := range []string{"", "x", text[:49], text + "A", strings.Repeat("A", 50), " " + text[1:]} {
		if _, err := s.Invite(bad, now); !errors.Is(err, ErrInvalid) {
			t.Errorf("Invite(%q): %v, want ErrInvalid", bad, err)
		}
	}
}

func TestSignInviteRefusesForeignSession(t *testing.T) {
	for _, bad := range []Invite{{Session: "short", Kind: Transfer}, {Session: NewSession()}, {Session: NewSession(), Kind: Room + 1}} {
		if _, err := newSigner(t, 1).SignInvite(bad); err == nil {
			t.Errorf("%+v was signed", bad)
		}
	}
}

func TestRoomInvite(t *testing.T) {
	s := newSigner(t, 1)
	text, err := s.SignInvite(Invite{Session: NewSession(), Kind: Room, Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Invite(text, now)
	if err != nil || got.Kind != Room {
		t.Errorf("%+v, %v", got, err)
	}
	if maker, joiner := got.Kind.Roles(); maker != Member || joiner != Member {
		t.Errorf("roles %s and %s", maker, joiner)
	}
}

func TestGrant(t *testing.T) {
	s := newSigner(t, 1)
	want := Grant{Session: NewSession(), Peer: NewPeer(), Role: Guest, Expires: now.Add(time.Hour)}
	text, err := s.SignGrant(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Grant(text, now)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Expires.Equal(want.Expires) {
		t.Errorf("expires %v, want %v", got.Expires, want.Expires)
	}
	got.Expires = want.Expires
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := s.Grant(text, want.Expires.Add(time.Second)); !errors.Is(err, ErrExpired) {
		t.Errorf("after its expiry: %v, want ErrExpired", err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + text[strings.Index(text, "."):strings.LastIndex(text, ".")+1]
	for name, bad := range map[string]string{"other key": mustGrant(t, newSigner(t, 2), want), "no role": mustGrant(t, s, Grant{Session: "s", Peer: "p", Expires: want.Expires}), "none": none, "empty": "", "cut": text[:len(text)-1]} {
		if _, err := s.Grant(bad, now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func mustGrant(t *testing.T, s *Signer, g Grant) string {
	t.Helper()
	text, err := s.SignGrant(g)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLoadKeyOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys", "signing.key")
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := LoadKey(file)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	for _, k := range keys {
		if !bytes.Equal(k, keys[0]) {
			t.Fatal("processes that start together got different keys")
		}
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode().Perm())
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".key-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(file); err == nil {
		t.Error("a damaged key file was accepted")
	}
}

func FuzzInvite(f *testing.F) {
	s, err := New(bytes.Repeat([]byte{1}, KeySize))
	if err != nil {
		f.Fatal(err)
	}
	text, err := s.SignInvite(Invite{Session: NewSession(), Kind: Transfer, Expires: now.Add(time.Hour)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, in string) {
		if i, err := s.Invite(in, now); err == nil {
			if again, err := s.SignInvite(i); err != nil || again != in {
				t.Errorf("accepted %q, which is not what signing gives: %q %v", in, again, err)
			}
		}
	})
}
