//go:build linux

package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BufferSize is how many bytes a Source may read at once, and events how many
// sockets one wait names.
const (
	BufferSize = 64 << 10
	events     = 128
)

// Source takes what a Socket brings. Its methods are called by one goroutine at a
// time, and not any more after Socket.Close has been called by one of them.
type Source interface {
	// Readable says that Socket.Read will not wait: there are bytes, an end or an
	// error. It must read, or close. The buffer of t is its own until it returns.
	Readable(t *Turn)
	// Writable says that Socket.Write may take more, after Socket.Await.
	Writable()
}

// Loop is one goroutine's worth of sockets.
type Loop struct {
	spawn func(func()) bool
	epoll *os.File        // the runtime's poller waits for it
	raw   syscall.RawConn // of epoll
	fd    int             // of epoll

	mu     sync.Mutex
	closed bool
	slots  []slot
	free   []uint32
	bufs   sync.Pool // of *[BufferSize]byte
}

// slot is an entry of the table. The generation tells a Socket from the one before
// it in the same slot, of which an event may still be under way.
type slot struct {
	socket     *Socket
	generation uint32
}

// New makes a Loop whose goroutines are started by spawn, which says no when there
// shall be no more. Start begins, Close ends it.
func New(spawn func(func()) bool) (*Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make loop: %w", os.NewSyscallError("epoll_create1", err))
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.File waits in the runtime's poller
		return nil, fmt.Errorf("make loop: %w", errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd)))
	}
	l := &Loop{spawn: spawn, epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	l.bufs.New = func() any { return new([BufferSize]byte) }
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		return nil, fmt.Errorf("make loop: %w", errors.Join(err, l.epoll.Close()))
	}
	return l, nil
}

func (l *Loop) control(op int, s *Socket, what uint32) error {
	// EpollEvent.Fd and Pad together are the 64 bits that the kernel hands back.
	e := unix.EpollEvent{Events: what, Fd: int32(s.slot), Pad: int32(s.generation)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.fd, op, s.fd, &e))
}

// Start begins to read. It says no if spawn does; the Loop is closed then.
func (l *Loop) Start() bool {
	if l.spawn(func() { l.run(new(Turn)) }) {
		return true
	}
	l.Close()
	return false
}

// Close ends the loop's goroutine. Sockets that are open are not read any more, but
// have to be closed.
func (l *Loop) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	_ = l.epoll.Close() // which ends the wait
	for _, s := range l.slots {
		if s.socket != nil {
			s.socket.loop.Store(nil)
		}
	}
	l.slots, l.free = nil, nil
}

// Turn is what a goroutine of the loop works on: what one wait has named.
type Turn struct {
	loop    *Loop
	current *Socket
	left    bool
	events  []unix.EpollEvent // that have not been handled
	buf     *[BufferSize]byte
}

// Buffer is memory to read into, until the Source returns.
func (t *Turn) Buffer() []byte { return t.buf[:] }

// Leave is called by a Source that is about to wait. The goroutine is its own from
// then on. It says no, and the Source must not wait, when the loop is ending.
func (t *Turn) Leave() bool {
	if t.left {
		return true
	}
	next := &Turn{events: slices.Clone(t.events)}
	t.current.Listen(false)
	if !t.loop.spawn(func() { t.loop.run(next) }) {
		t.current.Listen(true)
		return false
	}
	t.left = true
	return true
}

// run is the loop's goroutine.
func (l *Loop) run(t *Turn) {
	t.loop, t.buf = l, l.bufs.Get().(*[BufferSize]byte)
	defer l.bufs.Put(t.buf)
	var space [events]unix.EpollEvent
	n := 0
	poll := func(fd uintptr) bool {
		n = epollWait(fd, space[:])
		return n != 0
	}
	for {
		for len(t.events) > 0 {
			e := t.events[0]
			t.events = t.events[1:]
			if s := l.find(e); s != nil && t.serve(s, e.Events) {
				return
			}
		}
		if err := l.raw.Read(poll); err != nil {
			return // closed
		}
		t.events = space[:max(n, 0)]
	}
}

// serve tells s what has happened. It says whether its Source has left with the
// goroutine.
func (t *Turn) serve(s *Socket, what uint32) (left bool) {
	reading, full := s.wants()
	if full && (what&unix.EPOLLOUT != 0 || !reading) && s.Await(false) {
		s.source.Writable()
	}
	if !reading || what&^unix.EPOLLOUT == 0 {
		return false
	}
	t.current = s
	s.source.Readable(t)
	t.current = nil
	if t.left {
		s.Listen(true)
	}
	return t.left
}

// epollWait is epoll_wait(2). It does not wait, so the runtime need not hear of it,
// which would hand the processor to another thread when it takes long.
func epollWait(fd uintptr, into []unix.EpollEvent) int {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&into[0])), uintptr(len(into)), 0, 0, 0)
		switch e {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			return -1
		}
	}
}

// find is the socket of an event; nil if it is not there any more.
func (l *Loop) find(e unix.EpollEvent) *Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := uint32(e.Fd); int(i) < len(l.slots) {
		if s := l.slots[i]; s.generation == uint32(e.Pad) {
			return s.socket
		}
	}
	return nil
}

// Adopt takes c over. Its Source is called from now on, perhaps before Adopt
// returns to the caller; ready is called before that. After an error c is closed.
func (l *Loop) Adopt(c *net.TCPConn, src Source, ready func(*Socket)) error {
	fd, err := duplicate(c)
	_ = c.Close() // our descriptor is another one
	if err != nil {
		return fmt.Errorf("adopt connection: %w", err)
	}
	return l.Take(fd, src, ready)
}

// Watch has src called when there are connections at ln to Accept; see Adopt. The
// listener stays open until both ln and the Socket are closed.
func (l *Loop) Watch(ln *net.TCPListener, src Source, ready func(*Socket)) error {
	fd, err := duplicate(ln)
	if err != nil {
		return fmt.Errorf("watch listener: %w", err)
	}
	return l.Take(fd, src, ready)
}

// Take is Adopt for a descriptor, which does not block and is in nobody's poller,
// such as Socket.Accept returns.
func (l *Loop) Take(fd int, src Source, ready func(*Socket)) error {
	s, err := l.add(fd, src)
	if err != nil {
		return fmt.Errorf("take descriptor: %w", errors.Join(err, unix.Close(fd)))
	}
	ready(s)
	s.Listen(true)
	return nil
}

// duplicate makes a descriptor of our own, which is in no poller yet.
func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, os.NewSyscallError("fcntl", dupErr))
}

func (l *Loop) add(fd int, src Source) (*Socket, error) {
	s := &Socket{fd: fd, source: src}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if n := len(l.free); n > 0 {
		s.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		s.slot = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[s.slot].socket = s
	s.generation = l.slots[s.slot].generation
	s.loop.Store(l)
	return s, nil
}
