package realtime

import "strings"

const (
	hubNameFirst = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hubNameMore  = "0123456789_`,.[]"
	maxHubName   = 128
)

// IsHubName is Azure's rule for the names of hubs. No regular expression: to compile one for 128 characters takes a
// noticeable part of a process's start.
func IsHubName(name string) bool {
	return name != "" && len(name) <= maxHubName && strings.IndexByte(hubNameFirst, name[0]) >= 0 &&
		strings.Trim(name, hubNameFirst+hubNameMore) == ""
}
