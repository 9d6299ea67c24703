//go:build linux && !portable

package udp

import (
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received or sent
}

// Batch is the memory that packets are read into. One goroutine owns it.
type Batch struct {
	slots   []byte // of slotSize each
	msgs    []mmsghdr
	iovs    []unix.Iovec
	names   []sockaddr
	ctls    []control
	packets []Packet
	groups  []Group
	events  []unix.EpollEvent
	bad     uint64
}

// NewBatch makes a Batch of so many slots; each takes a datagram or a train. A slot
// has 64 KiB of address space, of which only what was once filled becomes memory.
func NewBatch(slots int) *Batch {
	slots = max(slots, 1)
	b := &Batch{
		slots: make([]byte, slots*slotSize), msgs: make([]mmsghdr, slots), iovs: make([]unix.Iovec, slots),
		names: make([]sockaddr, slots), ctls: make([]control, slots),
		packets: make([]Packet, 0, 4*slots), groups: make([]Group, 0, slots), events: make([]unix.EpollEvent, slots),
	}
	for i := range b.msgs {
		b.iovs[i].Base = &b.slots[i*slotSize]
		b.iovs[i].SetLen(slotSize)
		h := &b.msgs[i].Msghdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = &b.names[i][0]
		h.Control = &b.ctls[i][0]
	}
	return b
}

// Damaged returns how many datagrams were discarded as the kernel had cut them.
func (b *Batch) Damaged() uint64 { return b.bad }

// Read waits for packets, and returns at least one. The error is net.ErrClosed after
// Close, or one of the system's, after which the Conn is of no use.
func (c *Conn) Read(b *Batch) ([]Packet, error) {
	for {
		if !c.acquire() {
			return nil, net.ErrClosed
		}
		b.packets = b.packets[:0]
		n, errno := b.receive(c, 0, len(b.msgs), unix.MSG_WAITFORONE)
		b.unpack(c, 0, n)
		c.release()
		if len(b.packets) > 0 {
			return b.packets, nil
		}
		if !passing(errno) {
			return nil, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// passing says whether an error of receiving is about one datagram, or none at all:
// what ICMP says of a peer is reported on whichever call comes next (udp(7)).
func passing(errno unix.Errno) bool {
	switch errno {
	case 0, unix.EINTR, unix.EAGAIN, unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.EHOSTDOWN,
		unix.ENETUNREACH, unix.ENETDOWN, unix.EMSGSIZE, unix.EPROTO, unix.ENOPROTOOPT, unix.ENOMEM, unix.ENOBUFS:
		return true
	}
	return false
}

// receive fills slots [first, first+most) as far as there is something, and returns
// how many.
func (b *Batch) receive(c *Conn, first, most, flags int) (int, unix.Errno) {
	for i := first; i < first+most; i++ {
		h := &b.msgs[i].Msghdr
		h.Namelen = uint32(len(b.names[i]))
		if c.gro || c.info {
			h.SetControllen(len(b.ctls[i]))
		} else {
			h.SetControllen(0)
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&b.msgs[first])), uintptr(most), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// unpack appends the packets in slots [first, first+n) to b.packets.
func (b *Batch) unpack(c *Conn, first, n int) {
	for i := first; i < first+n; i++ {
		m := &b.msgs[i]
		if m.Namelen == 0 { // what a socket that has been shut down yields
			continue
		}
		if m.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			b.bad++
			continue
		}
		segment, local := 0, netip.Addr{}
		if m.Controllen > 0 {
			segment, local = b.ctls[i].get(int(m.Controllen))
		}
		p := Packet{Addr: b.names[i].get(m.Namelen), Local: local}
		data := b.slots[i*slotSize : i*slotSize+int(m.n)]
		for segment > 0 && len(data) > segment {
			p.Data = data[:segment:segment]
			b.packets = append(b.packets, p)
			data = data[segment:]
		}
		p.Data = data[:len(data):len(data)]
		b.packets = append(b.packets, p)
	}
}
