package config

import (
	"strings"
	"testing"
)

func TestRegions(t *testing.T) {
	good := "signing_key: env:KEY\nregion: na\nregions: ['eu=https://eu.example.org', 'na=https://na.example.org/']\n"
	c, err := Load(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if all, own := c.Places.All(); own != 1 || len(all) != 2 || all[1] != (Place{"na", "https://na.example.org"}) {
		t.Errorf("%v %d", all, own)
	}
	for text, key := range map[string]string{
		"region: eu": "region",
		"signing_key: env:KEY\nregions: ['eu=https://eu.example.org']":                                                  "region",
		"region: eu\nregions: ['eu=https://eu.example.org']":                                                            "signing_key",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', 'eu=https://na.example.org']":         "regions",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', 'na=https://eu.example.org']":         "regions",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', 'na=https://na.example.org/path']":    "regions",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', 'NA=https://na.example.org']":         "regions",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', 'https://na.example.org']":            "regions",
		"signing_key: env:KEY\nregion: eu\nregions: ['eu=https://eu.example.org', \"na=https://x; script-src 'self'\"]": "regions",
	} {
		c, err := Load(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
