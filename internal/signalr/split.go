package signalr

import "bytes"

// Splitter cuts a byte stream into the bodies of messages. It keeps only the
// beginning of a message that has not ended, at most max bytes of it.
type Splitter struct {
	protocol Protocol
	max      int
	pending  []byte
}

// NewSplitter returns a Splitter for a stream of protocol p whose bodies have at
// most max bytes.
func NewSplitter(p Protocol, max int) Splitter { return Splitter{protocol: p, max: max} }

// Feed takes the next bytes of the stream, and calls emit with the body of each
// message that ends in them. A body is valid until emit returns. An error of
// emit, ErrTooLarge and ErrMalformed end the stream; Feed must not be called again.
func (s *Splitter) Feed(b []byte, emit func(body []byte) error) error {
	if len(s.pending) > 0 {
		var err error
		if b, err = s.resume(b, emit); err != nil {
			return err
		}
	}
	for len(b) > 0 {
		body, rest, err := s.cut(b)
		if err != nil {
			return err
		}
		if rest == nil {
			s.pending = append(s.pending, b...)
			return nil
		}
		if err := emit(body); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// Partial says whether the stream stands inside a message.
func (s *Splitter) Partial() bool { return len(s.pending) > 0 }

// resume completes the pending message with the beginning of b, and returns the
// rest of b.
func (s *Splitter) resume(b []byte, emit func([]byte) error) ([]byte, error) {
	for {
		take := s.missing(b)
		if len(s.pending)+take > s.max+maxPrefix {
			return nil, ErrTooLarge
		}
		s.pending = append(s.pending, b[:take]...)
		b = b[take:]
		body, rest, err := s.cut(s.pending)
		if err != nil {
			return nil, err
		}
		if rest != nil {
			s.pending = nil // an idle stream keeps no buffer
			return b, emit(body)
		}
		if len(b) == 0 {
			return nil, nil
		}
	}
}

// missing says how many bytes of b may belong to the pending message.
func (s *Splitter) missing(b []byte) int {
	if s.protocol == JSON {
		if i := bytes.IndexByte(b, recordSeparator); i >= 0 {
			return i + 1
		}
		return len(b)
	}
	n, size, err := readLength(s.pending)
	if err != nil || size == 0 { // the prefix itself is not complete: a byte at a time
		return min(1, len(b))
	}
	return min(len(b), max(size+n-len(s.pending), 0))
}

// cut returns the first body of b and what follows it; rest is nil if the message
// has not ended, and not nil but perhaps empty if it has.
func (s *Splitter) cut(b []byte) (body, rest []byte, err error) {
	if s.protocol == JSON {
		i := bytes.IndexByte(b, recordSeparator)
		if i > s.max || i < 0 && len(b) > s.max {
			return nil, nil, ErrTooLarge
		}
		if i < 0 {
			return nil, nil, nil
		}
		return b[:i:i], b[i+1:], nil
	}
	n, size, err := readLength(b)
	switch {
	case err != nil:
		return nil, nil, err
	case size > 0 && n > s.max:
		return nil, nil, ErrTooLarge
	case size == 0 || len(b) < size+n:
		return nil, nil, nil
	}
	return b[size : size+n : size+n], b[size+n:], nil
}

// maxPrefix is the length of the longest prefix.
const maxPrefix = 5

// readLength reads the length prefix of a MessagePack message: unsigned LEB128 in
// at most five bytes, at most 0x7FFFFFFF. size is 0 if b ends before the prefix does.
func readLength(b []byte) (n, size int, err error) {
	for i := 0; i < maxPrefix; i++ {
		if i == len(b) {
			return 0, 0, nil
		}
		if i == 4 && b[i] > 7 {
			break
		}
		n |= int(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			return n, i + 1, nil
		}
	}
	return 0, 0, malformed("length prefix")
}

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
