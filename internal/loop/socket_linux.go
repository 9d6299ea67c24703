//go:build linux

package loop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a TCP connection that a Loop reads, or a listener. Read, Accept, Hand and
// Conn are for its Source; the other methods may be called by any goroutine.
type Socket struct {
	loop       atomic.Pointer[Loop] // nil after the Loop has ended
	source     Source
	fd         int
	slot       uint32
	generation uint32
	use        atomic.Int32 // uses of fd; negative after Close
	closed     atomic.Bool

	reading, full bool // what is waited for; Loop.mu guards them
}

// closing is added to Socket.use by Close.
const closing = -1 << 30

// acquire holds the descriptor, unless it is closed.
func (s *Socket) acquire() bool {
	if s.use.Add(1) > 0 {
		return true
	}
	s.release()
	return false
}

func (s *Socket) release() {
	if s.use.Add(-1) == closing {
		if s.use.CompareAndSwap(closing, 2*closing) { // once
			_ = unix.Close(s.fd)
		}
	}
}

// Close ends the socket. The descriptor is closed when nobody uses it.
func (s *Socket) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.use.Add(1 + closing)
	if l := s.loop.Swap(nil); l != nil {
		l.mu.Lock()
		if !l.closed {
			_ = unix.EpollCtl(l.fd, unix.EPOLL_CTL_DEL, s.fd, nil) // it may not be there
			l.slots[s.slot] = slot{generation: s.generation + 1}
			l.free = append(l.free, s.slot)
		}
		l.mu.Unlock()
	}
	s.release()
}

// Listen says whether to call Source.Readable, as is done at first.
func (s *Socket) Listen(yes bool) bool { return s.update(&s.reading, yes) }

// Await says whether to call Source.Writable, once. It is false when there will be
// no call.
func (s *Socket) Await(yes bool) bool { return s.update(&s.full, yes) }

// wants is what the socket waits for.
func (s *Socket) wants() (reading, full bool) {
	if l := s.loop.Load(); l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return s.reading, s.full
	}
	return false, false
}

// update changes what is waited for.
func (s *Socket) update(what *bool, to bool) bool {
	l := s.loop.Load()
	if l == nil || !s.acquire() {
		return false
	}
	defer s.release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	before := s.events()
	*what = to
	after := s.events()
	switch {
	case before == after:
		return true
	case before == 0:
		return l.control(unix.EPOLL_CTL_ADD, s, after) == nil
	case after == 0:
		return l.control(unix.EPOLL_CTL_DEL, s, 0) == nil
	}
	return l.control(unix.EPOLL_CTL_MOD, s, after) == nil
}

// events is what epoll shall report. What it reports unasked, a connection that is
// broken, is for Readable; while there is nobody to call, it comes but once.
func (s *Socket) events() (what uint32) {
	if s.full {
		what |= unix.EPOLLOUT
	}
	if s.reading {
		return what | unix.EPOLLIN
	}
	if what != 0 {
		what |= unix.EPOLLONESHOT
	}
	return what
}

// Read reads what is there. Nothing to read is no error; the end is io.EOF's to say:
// it returns 0 and false.
func (s *Socket) Read(b []byte) (n int, open bool) {
	if !s.acquire() {
		return 0, false
	}
	defer s.release()
	for {
		n, err := rawIO(unix.SYS_READ, s.fd, b)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, true
		}
		return n, err == 0 && n > 0
	}
}

// Write writes as much as the socket takes now. Not all is no error.
func (s *Socket) Write(b []byte) (n int, err error) {
	if !s.acquire() {
		return 0, net.ErrClosed
	}
	defer s.release()
	for n < len(b) {
		w, err := rawIO(unix.SYS_WRITE, s.fd, b[n:])
		n += w
		switch err {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			return n, nil
		default:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// Accept takes a connection from a listener. Its descriptor is for Take, or to be
// closed. None is there if the error is EAGAIN.
func (s *Socket) Accept() (fd int, from netip.AddrPort, err error) {
	if !s.acquire() {
		return -1, from, net.ErrClosed
	}
	defer s.release()
	fd, sa, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, from, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		from = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
		if sa.ZoneId != 0 && from.Addr().IsLinkLocalUnicast() {
			if i, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				from = netip.AddrPortFrom(from.Addr().WithZone(i.Name), from.Port())
			}
		}
	}
	return fd, from, nil
}

// Hand lets another Source go on with the socket, which from now on sends small
// messages at once (TCP_NODELAY).
func (s *Socket) Hand(to Source) {
	s.source = to
	if s.acquire() {
		_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // or later
		s.release()
	}
}

// Conn gives the connection back to the runtime's poller. The Socket is closed.
func (s *Socket) Conn() (net.Conn, error) {
	if !s.acquire() {
		return nil, net.ErrClosed
	}
	s.Close() // leaves the descriptor open, which we hold
	defer s.release()
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "tcp")
	c, err := net.FileConn(f)
	return c, errors.Join(err, f.Close())
}

// CloseWrite ends our half of the connection.
func (s *Socket) CloseWrite() { s.shutdown(unix.SHUT_WR) }

// Abort ends both halves: the Source will read the end.
func (s *Socket) Abort() { s.shutdown(unix.SHUT_RDWR) }

func (s *Socket) shutdown(how int) {
	if s.acquire() {
		_ = unix.Shutdown(s.fd, how) // fails when the other side has left
		s.release()
	}
}

// rawIO is read(2) or write(2) of a socket that does not block, see epollWait.
func rawIO(call uintptr, fd int, b []byte) (int, unix.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	n, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return max(int(n), 0), e
}
