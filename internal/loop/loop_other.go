//go:build !linux

package loop

import (
	"errors"
	"net"
	"net/netip"
)

// There is no Loop on this system: New says so, and nothing else is ever called.
type (
	Loop   struct{}
	Turn   struct{}
	Socket struct{}
)

// Source is told what a Socket brings.
type Source interface {
	Readable(t *Turn)
	Writable()
}

// New returns errors.ErrUnsupported.
func New(func(func()) bool) (*Loop, error) { return nil, errors.ErrUnsupported }

func (*Loop) Start() bool                                         { return false }
func (*Loop) Close()                                              {}
func (*Loop) Adopt(*net.TCPConn, Source, func(*Socket)) error     { return errors.ErrUnsupported }
func (*Loop) Watch(*net.TCPListener, Source, func(*Socket)) error { return errors.ErrUnsupported }
func (*Loop) Take(int, Source, func(*Socket)) error               { return errors.ErrUnsupported }
func (*Turn) Buffer() []byte                                      { return nil }
func (*Turn) Leave() bool                                         { return false }
func (*Socket) Read([]byte) (int, bool)                           { return 0, false }
func (*Socket) Write([]byte) (int, error)                         { return 0, errors.ErrUnsupported }
func (*Socket) Accept() (int, netip.AddrPort, error) {
	return -1, netip.AddrPort{}, errors.ErrUnsupported
}
func (*Socket) Hand(Source)             {}
func (*Socket) Conn() (net.Conn, error) { return nil, errors.ErrUnsupported }
func (*Socket) Listen(bool) bool        { return false }
func (*Socket) Await(bool) bool         { return false }
func (*Socket) CloseWrite()             {}
func (*Socket) Abort()                  {}
func (*Socket) Close()                  {}
