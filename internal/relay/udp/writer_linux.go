//go:build linux && !portable

package udp

import (
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxMessages = 256  // of sendmmsg, each a datagram or a train
	maxPieces   = 4096 // heads and bodies
)

// Writer collects datagrams and sends them. One goroutine owns it; the Conns that
// it sends from may be shared.
type Writer struct {
	msgs   []mmsghdr
	trains []train
	names  []sockaddr
	ctls   []control
	pieces []unix.Iovec
	count  int // of msgs
	used   int // of pieces
	lone   mmsghdr
	sent   int
	err    error
	drops  [Drops]uint64
}

// train is what a message of the Writer holds: one datagram or several.
type train struct {
	conn    *Conn
	to      netip.AddrPort
	from    netip.Addr
	size    int // of all datagrams but the last
	last    int // of the last one
	count   int
	bytes   int
	piece   int // the first of its pieces
	pieces  int
	control int // length of the control messages without the size of segments
}

// NewWriter makes a Writer, of some 100 KiB.
func NewWriter() *Writer {
	w := &Writer{
		msgs: make([]mmsghdr, maxMessages), trains: make([]train, maxMessages), names: make([]sockaddr, maxMessages),
		ctls: make([]control, maxMessages), pieces: make([]unix.Iovec, maxPieces),
	}
	for i := range w.msgs {
		w.msgs[i].Name = &w.names[i][0]
	}
	return w
}

// Send adds the datagram head|body, from c to to; head may be nil. Both must stay as
// they are until Flush. from chooses the source address if it is valid and c has
// Options.Pktinfo. It may flush what was added before.
func (w *Writer) Send(c *Conn, to netip.AddrPort, from netip.Addr, head, body []byte) {
	size := len(head) + len(body)
	if size > maxTrain {
		w.drop(DropTooBig, 1, unix.EMSGSIZE)
		return
	}
	if !c.info {
		from = netip.Addr{}
	}
	if w.used+2 > len(w.pieces) {
		w.flush()
	}
	if w.count > 0 && c.gso && size > 0 {
		if t := &w.trains[w.count-1]; t.takes(c, to, from, size) && c.trains.try() {
			w.add(t, head, body)
			t.last = size
			t.count++
			t.bytes += size
			return
		}
	}
	if w.count == len(w.msgs) {
		w.flush()
	}
	t := &w.trains[w.count]
	*t = train{conn: c, to: to, from: from, size: size, last: size, count: 1, bytes: size, piece: w.used}
	h := &w.msgs[w.count].Msghdr
	if h.Namelen = w.names[w.count].put(c, to); h.Namelen == 0 {
		w.drop(DropFamily, 1, ErrFamily)
		return
	}
	if from.IsValid() {
		if from.Is6() && !c.v6 {
			w.drop(DropFamily, 1, ErrFamily)
			return
		}
		t.control = w.ctls[w.count].putSource(c, 0, from)
	}
	w.count++
	w.add(t, head, body)
}

// takes says whether one more datagram may follow those of t in a train: only the
// last one may be shorter.
func (t *train) takes(c *Conn, to netip.AddrPort, from netip.Addr, size int) bool {
	return t.conn == c && t.last == t.size && size <= t.size && t.count < maxSegments &&
		t.bytes+size <= maxTrain && t.to == to && t.from == from
}

// add appends the pieces of a datagram to t, which is the last message.
func (w *Writer) add(t *train, head, body []byte) {
	for _, b := range [2][]byte{head, body} {
		if len(b) == 0 {
			continue
		}
		p := &w.pieces[w.used]
		p.Base = unsafe.SliceData(b)
		p.SetLen(len(b))
		w.used++
		t.pieces++
	}
}

// Flush sends what was added and returns how many datagrams the kernel has taken
// since the last Flush, those that Send had to flush included. The error is that of
// one datagram that was dropped, if there are any: Dropped has them all by reason.
func (w *Writer) Flush() (sent int, err error) {
	w.flush()
	sent, err = w.sent, w.err
	w.sent, w.err = 0, nil
	return sent, err
}

// Dropped returns how many datagrams this Writer has dropped so far, by reason.
func (w *Writer) Dropped() [Drops]uint64 { return w.drops }

func (w *Writer) flush() {
	for i := range w.count {
		t, h := &w.trains[i], &w.msgs[i].Msghdr
		n := t.control
		if t.count > 1 {
			n = w.ctls[i].putSegment(n, t.size)
		}
		h.Control = &w.ctls[i][0]
		h.SetControllen(n)
		h.Iov = nil
		if t.pieces > 0 {
			h.Iov = &w.pieces[t.piece]
		}
		h.SetIovlen(t.pieces)
	}
	for i := 0; i < w.count; {
		c := w.trains[i].conn
		end := i + 1
		for end < w.count && w.trains[end].conn == c {
			end++
		}
		if c.acquire() {
			w.run(c, i, end)
			c.release()
		} else {
			w.dropRun(i, end, DropClosed, net.ErrClosed)
		}
		i = end
	}
	w.count, w.used = 0, 0
}

// run sends the messages [i, end), all of c.
func (w *Writer) run(c *Conn, i, end int) {
	for i < end {
		n, errno := sendmmsg(c, &w.msgs[i], end-i)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 { // of the first one
			n = 1
			t := &w.trains[i]
			switch {
			case t.count > 1 && c.trains.failed(errno):
				w.single(i)
			case reason(errno) == DropFull: // the others won't fit either
				w.dropRun(i, end, DropFull, errno)
				return
			default:
				w.drop(reason(errno), t.count, errno)
			}
			i += n
			continue
		}
		for _, t := range w.trains[i : i+n] {
			w.sent += t.count
			if t.count > 1 {
				c.trains.left()
			}
		}
		i += n
	}
}

// single sends the datagrams of message i one by one.
func (w *Writer) single(i int) {
	t := &w.trains[i]
	w.lone = w.msgs[i]
	h := &w.lone.Msghdr
	h.SetControllen(t.control)
	at := t.piece
	for k := range t.count {
		size := t.size
		if k == t.count-1 {
			size = t.last
		}
		first := at
		for n := 0; n < size; at++ {
			n += int(w.pieces[at].Len)
		}
		h.Iov = &w.pieces[first]
		h.SetIovlen(at - first)
		_, errno := sendmmsg(t.conn, &w.lone, 1)
		for errno == unix.EINTR {
			_, errno = sendmmsg(t.conn, &w.lone, 1)
		}
		if errno != 0 {
			w.drop(reason(errno), 1, errno)
		} else {
			w.sent++
		}
	}
}

func sendmmsg(c *Conn, first *mmsghdr, n int) (int, unix.Errno) {
	r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(first)), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

func (w *Writer) dropRun(i, end int, why Drop, err error) {
	for _, t := range w.trains[i:end] {
		w.drop(why, t.count, err)
	}
}

func (w *Writer) drop(why Drop, count int, err error) {
	w.drops[why] += uint64(count)
	w.err = err
}

// reason sorts an error of sending a datagram.
func reason(errno unix.Errno) Drop {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return DropFull
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ECONNREFUSED, unix.EADDRNOTAVAIL, unix.ENODEV:
		return DropUnreachable
	case unix.EMSGSIZE:
		return DropTooBig
	case unix.EPERM, unix.EACCES:
		return DropRefused
	case unix.EAFNOSUPPORT:
		return DropFamily
	}
	return DropOther
}
