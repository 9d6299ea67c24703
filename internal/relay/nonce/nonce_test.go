package nonce

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNonce(t *testing.T) {
	s := New([32]byte{1})
	a := netip.MustParseAddrPort("192.0.2.1:5000")
	made := time.Unix(1_800_000_000, 0)
	n := s.Issue(a, 1, made)
	if len(n) != Size || strings.ContainsAny(n, "\" \\") {
		t.Errorf("nonce %q", n)
	}
	for _, tt := range []struct {
		name      string
		source    *Source
		nonce     string
		addr      string
		transport uint8
		after     time.Duration
		want      bool
	}{
		{"at once", s, n, "192.0.2.1:5000", 1, 0, true},
		{"an hour later", s, n, "192.0.2.1:5000", 1, time.Hour, true},
		{"two minutes more", s, n, "192.0.2.1:5000", 1, time.Hour + 2*Step, false},
		{"before", s, n, "192.0.2.1:5000", 1, -2 * Step, false},
		{"other port", s, n, "192.0.2.1:5001", 1, 0, false},
		{"other address", s, n, "192.0.2.2:5000", 1, 0, false},
		{"other transport", s, n, "192.0.2.1:5000", 2, 0, false},
		{"other key", New([32]byte{2}), n, "192.0.2.1:5000", 1, 0, false},
		{"empty", s, "", "192.0.2.1:5000", 1, 0, false},
		{"cut", s, n[:21], "192.0.2.1:5000", 1, 0, false},
		{"longer", s, n + "A", "192.0.2.1:5000", 1, 0, false},
		{"not base64", s, "!" + n[1:], "192.0.2.1:5000", 1, 0, false},
		{"changed", s, n[:10] + string(n[10]^1) + n[11:], "192.0.2.1:5000", 1, 0, false},
	} {
		if got := tt.source.Valid([]byte(tt.nonce), netip.MustParseAddrPort(tt.addr), tt.transport, made.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzValid(f *testing.F) {
	s := New([32]byte{1})
	a := netip.MustParseAddrPort("192.0.2.1:5000")
	now := time.Unix(1_800_000_000, 0)
	f.Add([]byte(s.Issue(a, 0, now)))
	f.Add([]byte(strings.Repeat("A", Size)))
	f.Fuzz(func(t *testing.T, n []byte) {
		if s.Valid(n, a, 0, now) && !issued(s, n, a, now) {
			t.Errorf("%q is valid and was never issued", n)
		}
	})
}

func issued(s *Source, n []byte, a netip.AddrPort, now time.Time) bool {
	for back := time.Duration(0); back <= Life; back += Step {
		if s.Issue(a, 0, now.Add(-back)) == string(n) {
			return true
		}
	}
	return false
}
