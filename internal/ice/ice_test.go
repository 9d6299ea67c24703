package ice

import "testing"

func TestCheckSTUN(t *testing.T) {
	for u, ok := range map[string]bool{
		"stun:stun.example.org":       true,
		"stun:stun.example.org:19302": true,
		"stuns:stun.example.org:5349": true,
		"stun:192.0.2.1":              true,
		"stun:[2001:db8::1]:3478":     true,
		"stun:[2001:db8::1]":          true,
		"stun:2001:db8::1":            false,
		"":                            false,
		"stun":                        false,
		"stun:":                       false,
		"stun::3478":                  false,
		"stun://example.org":          false,
		"stun:example.org:0":          false,
		"stun:example.org:99999":      false,
		"stun:example.org:http":       false,
		"stun:example.org?x":          false,
		"stun:user@example.org":       false,
		"turn:example.org":            false,
		"STUN:example.org":            false,
	} {
		if err := CheckSTUN(u); (err == nil) != ok {
			t.Errorf("CheckSTUN(%q) = %v", u, err)
		}
	}
}
