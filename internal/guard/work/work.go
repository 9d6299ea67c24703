package work

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of the parts of a text, in bytes and characters.
const (
	Parts = 16 // puzzles of a challenge

	challengeSize = 32
	headSize      = 16
	solutionSize  = 4 * Parts
	challengeText = 43
	solutionText  = 86
	textSize      = challengeText + 1 + solutionText

	version = 1
)

// MaxEach bounds how hard one puzzle can be; a client refuses to solve harder ones.
const MaxEach = 1 << 20

// Errors of Check.
var (
	ErrMalformed = errors.New("not a solution")
	ErrForeign   = errors.New("solves no challenge that this client was given for this")
	ErrExpired   = errors.New("came too late")
	ErrUnsolved  = errors.New("does not solve its challenge")
)

// Issuer makes challenges and checks solutions. It is safe for concurrent use.
type Issuer struct {
	macs   sync.Pool // of hash.Hash
	number atomic.Uint32
}

// NewIssuer makes an Issuer. Processes with the same key accept each other's challenges.
func NewIssuer(key []byte) *Issuer {
	key = append([]byte(nil), key...)
	i := &Issuer{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	i.number.Store(binary.BigEndian.Uint32(b[:]))
	return i
}

// sum writes the MAC of a challenge's head.
func (i *Issuer) sum(head []byte, prefix uint64, out []byte) {
	m := i.macs.Get().(hash.Hash)
	defer i.macs.Put(m)
	m.Reset()
	var p [8]byte
	binary.BigEndian.PutUint64(p[:], prefix)
	_, _ = m.Write(head) // hashes don't fail
	_, _ = m.Write(p[:])
	var full [sha256.Size]byte
	copy(out, m.Sum(full[:0]))
}

// Challenge makes a challenge for an action and the network that asks.
func (i *Issuer) Challenge(action byte, prefix uint64, each uint32, expires time.Time) string {
	var c [challengeSize]byte
	c[0], c[1] = version, action
	binary.BigEndian.PutUint32(c[4:], each)
	binary.BigEndian.PutUint32(c[8:], uint32(expires.Unix()))
	binary.BigEndian.PutUint32(c[12:], i.number.Add(1))
	i.sum(c[:headSize], prefix, c[headSize:])
	return base64.RawURLEncoding.EncodeToString(c[:])
}

// Proof is a solution that was checked.
type Proof struct {
	ID      [challengeSize - headSize]byte // of the challenge
	Each    uint32
	Expires time.Time
}

// Check checks a text for an action and the network that brings it.
func (i *Issuer) Check(text string, action byte, prefix uint64, now time.Time) (Proof, error) {
	c, s, err := decode(text)
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Each: each(&c), Expires: time.Unix(int64(binary.BigEndian.Uint32(c[8:])), 0)}
	copy(p.ID[:], c[headSize:])
	if !now.Before(p.Expires) {
		return Proof{}, ErrExpired
	}
	var mac [challengeSize - headSize]byte
	i.sum(c[:headSize], prefix, mac[:])
	if c[1] != action || !hmac.Equal(mac[:], p.ID[:]) {
		return Proof{}, ErrForeign
	}
	for part := range uint32(Parts) {
		if !solves(&c, part, binary.BigEndian.Uint32(s[4*part:]), p.Each) {
			return Proof{}, ErrUnsolved
		}
	}
	return p, nil
}

func each(c *[challengeSize]byte) uint32 { return binary.BigEndian.Uint32(c[4:]) }

// decode takes a text apart. There is one text for one pair of challenge and solution.
func decode(text string) (c [challengeSize]byte, s [solutionSize]byte, err error) {
	if len(text) != textSize || text[challengeText] != '.' {
		return c, s, ErrMalformed
	}
	if c, err = decodeChallenge(text[:challengeText]); err != nil {
		return c, s, err
	}
	n, err := base64.RawURLEncoding.Strict().Decode(s[:], []byte(text[challengeText+1:]))
	if err != nil || n != solutionSize { // line breaks are skipped, and would leave it short
		return c, s, ErrMalformed
	}
	return c, s, nil
}

func decodeChallenge(text string) (c [challengeSize]byte, err error) {
	if len(text) != challengeText {
		return c, ErrMalformed
	}
	n, err := base64.RawURLEncoding.Strict().Decode(c[:], []byte(text))
	if err != nil || n != challengeSize || c[0] != version || c[2]|c[3] != 0 || each(&c) < 1 || each(&c) > MaxEach {
		return c, ErrMalformed
	}
	return c, nil
}

// solves says whether n solves a puzzle of c.
func solves(c *[challengeSize]byte, part, n, each uint32) bool {
	var b [challengeSize + 8]byte
	copy(b[:], c[:])
	binary.BigEndian.PutUint32(b[challengeSize:], part)
	binary.BigEndian.PutUint32(b[challengeSize+4:], n)
	sum := sha256.Sum256(b[:])
	return uint64(binary.BigEndian.Uint32(sum[:]))*uint64(each) < 1<<32
}

// Solve does the work, and returns the text. It ends early with ctx.
func Solve(ctx context.Context, challenge string) (string, error) {
	c, err := decodeChallenge(challenge)
	if err != nil {
		return "", err
	}
	var s [solutionSize]byte
	for part := range uint32(Parts) {
		n := uint32(0)
		for ; !solves(&c, part, n, each(&c)); n++ {
			if n%4096 == 4095 && ctx.Err() != nil {
				return "", ctx.Err()
			}
		}
		binary.BigEndian.PutUint32(s[4*part:], n)
	}
	return challenge + "." + base64.RawURLEncoding.EncodeToString(s[:]), nil
}
