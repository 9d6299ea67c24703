package load

import "bytes"

// A payload begins with a stamp: the time at which it was due, in nanoseconds,
// as hexadecimal digits between tildes. No dialect uses a tilde for anything else.
const stampSize = 18

// newPayload makes a payload of size bytes; it holds at least the stamp.
func newPayload(size int) []byte {
	p := make([]byte, max(size, stampSize))
	for i := range p {
		p[i] = 'a' + byte(i*7%26)
	}
	stamp(p, 0)
	return p
}

// stamp writes due into payload.
func stamp(payload []byte, due int64) {
	const digits = "0123456789abcdef"
	payload[0], payload[stampSize-1] = '~', '~'
	for i := stampSize - 2; i > 0; i-- {
		payload[i] = digits[due&15]
		due >>= 4
	}
}

// cutStamp finds the first stamp in b, and returns what follows it.
func cutStamp(b []byte) (due int64, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '~')
	if i < 0 || len(b) < i+stampSize || b[i+stampSize-1] != '~' {
		return 0, nil, false
	}
	for _, d := range b[i+1 : i+stampSize-1] {
		switch {
		case d >= '0' && d <= '9':
			d -= '0'
		case d >= 'a' && d <= 'f':
			d -= 'a' - 10
		default:
			return 0, nil, false
		}
		due = due<<4 | int64(d)
	}
	return due, b[i+stampSize:], true
}
