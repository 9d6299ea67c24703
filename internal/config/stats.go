package config

import (
	"net/url"
	"strings"
	"time"
)

// StatsOff is the value of Stats that keeps no statistics.
const StatsOff = "off"

// StatsFile is where SQLite keeps statistics, in the data directory.
const StatsFile = "stats.db"

// Statistics is what is counted, without knowing anybody.
type Statistics struct {
	Stats          string        `yaml:"stats" default:"sqlite:" placeholder:"URL" help:"Where anonymous statistics are kept: sqlite: is a file in the data directory, sqlite:/path/file.db another; or a postgres:// or sqlserver:// URL with its password as a reference such as {env:NAME}, or a reference to the whole URL. \"off\" keeps none."`
	StatsRetention time.Duration `yaml:"stats_retention" name:"stats-retention" default:"9600h" help:"How long statistics are kept, 72h at least."`
}

// minRetention is what may still be written late (package stats).
const minRetention = 72 * time.Hour

// validate reports what is wrong, by bad(key, …).
func (s *Statistics) validate(bad func(key, format string, args ...any)) {
	if s.StatsRetention < minRetention {
		bad("stats_retention", "must be at least %v", minRetention)
	}
	if s.Stats == StatsOff {
		return
	}
	scheme, _, _ := strings.Cut(s.Stats, ":")
	switch scheme {
	case "sqlite", "env", "file", "azurekv":
	case "postgres", "postgresql", "sqlserver":
		plain := strings.NewReplacer("{env:", "ref-", "{file:", "ref-", "{azurekv:", "ref-", "{", "ref-", "}", "").Replace(s.Stats)
		u, err := url.Parse(plain)
		if err != nil {
			bad("stats", "is no URL")
		} else if word, has := u.User.Password(); has && !strings.HasPrefix(word, "ref-") {
			bad("stats", "holds a password; write a reference such as {env:NAME} in its place")
		}
	default:
		bad("stats", "is none of off, sqlite:, a postgres:// or sqlserver:// URL, and a reference such as env:NAME")
	}
}
