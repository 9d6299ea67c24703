package signalr

import (
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"
)

// maxDepth bounds how deep values nest, in both protocols and both directions.
const maxDepth = 256

// ValidValue says whether b is exactly one JSON value in valid UTF-8, nested no
// deeper than this package allows.
func ValidValue(b []byte) bool {
	i := scanValue(b, skipSpace(b, 0))
	return i >= 0 && skipSpace(b, i) == len(b) && utf8.Valid(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// nesting is the stack of open containers: a bit each, set for objects.
type nesting struct {
	objects [maxDepth / 64]uint64
	depth   int
}

func (n *nesting) push(object bool) bool {
	if n.depth == maxDepth {
		return false
	}
	word, bit := n.depth/64, uint64(1)<<(n.depth%64)
	n.objects[word] &^= bit
	if object {
		n.objects[word] |= bit
	}
	n.depth++
	return true
}

func (n *nesting) inObject() bool {
	d := n.depth - 1
	return n.objects[d/64]&(1<<(d%64)) != 0
}

// scanValue returns the index after the JSON value that starts at b[i], or -1 if
// there is no valid one. It accepts what encoding/json accepts, up to maxDepth; it
// is written by hand because every message passes through it.
func scanValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	if c := b[i]; c != '{' && c != '[' {
		return scanScalar(b, i)
	}
	var open nesting
	for {
		// A value starts at i.
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		switch c := b[i]; c {
		case '{', '[':
			if !open.push(c == '{') {
				return -1
			}
			i = skipSpace(b, i+1)
			if i < len(b) && b[i] == c+2 { // '{'+2 == '}', '['+2 == ']'
				break // closes below
			}
			if c == '{' {
				if i = scanKey(b, i); i < 0 {
					return -1
				}
			}
			continue
		default:
			if i = scanScalar(b, i); i < 0 {
				return -1
			}
		}
		if i = scanAfter(b, i, &open); i < 0 || open.depth == 0 {
			return i
		}
	}
}

// scanAfter reads what may stand after a value: closing brackets, then a comma
// (and in an object, the next key). It stops where the next value begins, or
// after the outermost closing bracket.
func scanAfter(b []byte, i int, open *nesting) int {
	for {
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		object := open.inObject()
		switch c := b[i]; {
		case c == ',':
			if object {
				return scanKey(b, skipSpace(b, i+1))
			}
			return i + 1
		case c == '}' && object, c == ']' && !object:
			i++
			if open.depth--; open.depth == 0 {
				return i
			}
		default:
			return -1
		}
	}
}

// scanKey reads an object's key and the colon after it.
func scanKey(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	if i = scanString(b, i); i < 0 {
		return -1
	}
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

func scanScalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		return scanString(b, i)
	case c == '-' || c >= '0' && c <= '9':
		return scanNumber(b, i)
	case c == 't':
		return scanLiteral(b, i, "true")
	case c == 'f':
		return scanLiteral(b, i, "false")
	case c == 'n':
		return scanLiteral(b, i, "null")
	}
	return -1
}

func scanLiteral(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

func scanDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func scanNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	start := i
	if i = scanDigits(b, i); i == start || b[start] == '0' && i > start+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = scanDigits(b, start); i == start {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = scanDigits(b, start); i == start {
			return -1
		}
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain says whether none of the eight bytes of x is a quote, a backslash or a
// control character. (Bytes that follow a match may be misjudged; the caller then
// looks at each of them.)
func plain(x uint64) bool {
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	return ((quote-ones)&^quote|(slash-ones)&^slash|(x-ones*0x20)&^x)&highs == 0
}

// scanString returns the index after the string that starts with the quote b[i].
func scanString(b []byte, i int) int {
	i++
	for {
		for i+8 <= len(b) && plain(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		for end := min(i+8, len(b)); i < end; i++ {
			switch c := b[i]; {
			case c == '"':
				return i + 1
			case c < 0x20:
				return -1
			case c == '\\':
				if i = scanEscape(b, i+1); i < 0 {
					return -1
				}
				end = max(end, i+1)
			}
		}
		if i >= len(b) {
			return -1
		}
	}
}

// scanEscape returns the index of the last byte of the escape sequence whose
// backslash stands before b[i].
func scanEscape(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		if i+4 >= len(b) {
			return -1
		}
		for _, c := range b[i+1 : i+5] {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return -1
			}
		}
		return i + 4
	}
	return -1
}

// unquote returns the text of a string that scanString has accepted.
func unquote(b []byte) (string, error) {
	for _, c := range b {
		if c == '\\' {
			var s string
			err := json.Unmarshal(b, &s)
			return s, err
		}
	}
	return string(b[1 : len(b)-1]), nil
}
