package realtime

import (
	"regexp"
	"strings"
	"testing"
)

func FuzzIsHubName(f *testing.F) {
	pattern := regexp.MustCompile("^[A-Za-z][A-Za-z0-9_`,.\\[\\]]{0,127}\\z")
	for _, name := range []string{"", "chat", "Chat_1", "1chat", "_", "a`,.[]", "a-b", "a b", "é", "a\n", "a-b-a", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got := IsHubName(name); got != pattern.MatchString(name) {
			t.Errorf("%q: %t", name, got)
		}
	})
}
