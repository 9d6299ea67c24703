//go:build linux

package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
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
	t.current.listen(false)
	if !t.loop.spawn(func() { t.loop.run(next) }) {
		t.current.listen(true)
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
		s.listen(true)
	}
	return t.left
}

// The system calls below never wait, so the runtime need not hear of them, which
// would hand the processor to another thread when one takes long.

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

func rawIO(call uintptr, fd int, b []byte) (int, unix.Errno) {
	if len(b) == 0 {
		return 0, 0
	}
	n, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return max(int(n), 0), e
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
	s, err := l.take(c, src)
	_ = c.Close() // our descriptor is another one
	if err != nil {
		return fmt.Errorf("adopt connection: %w", err)
	}
	ready(s)
	s.listen(true)
	return nil
}

// take makes a Socket with a descriptor of its own, which is in no poller yet.
func (l *Loop) take(c *net.TCPConn, src Source) (*Socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, os.NewSyscallError("fcntl", dupErr)); err != nil {
		return nil, err
	}
	s := &Socket{fd: fd, source: src}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, unix.Close(fd))
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

// Socket is a TCP connection that a Loop reads. Read is for its Source; the other
// methods may be called by any goroutine.
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

// listen says whether to call Source.Readable.
func (s *Socket) listen(yes bool) { s.update(&s.reading, yes) }

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
