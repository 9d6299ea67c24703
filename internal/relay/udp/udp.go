package udp

import (
	"errors"
	"net/netip"
)

// Packet is a datagram that has arrived.
type Packet struct {
	// Data is the payload, valid until the next Read or Wait with the same Batch.
	// It may be written to, but not beyond its length.
	Data []byte
	// Addr is where it came from; an IPv4 address is never in its IPv6 form.
	Addr netip.AddrPort
	// Local is the address it was sent to, if Options.Pktinfo; else invalid.
	Local netip.Addr
}

// Group is what Poller.Wait read from one Conn.
type Group struct {
	Token   any // as given to Add
	Conn    *Conn
	Packets []Packet
}

// Options of a Conn. Offloads that the kernel does not have are left off silently.
type Options struct {
	// ReusePort lets several Conns listen on one address; the kernel spreads the
	// senders over them, each always to the same one (SO_REUSEPORT). All of them
	// need it. Listen fails where there is no such thing, see CanShare.
	ReusePort bool
	// GRO receives trains, GSO sends them.
	GRO, GSO bool
	// Pktinfo says for each packet which address it was sent to, and lets Writer.Send
	// choose the one to send from: for sockets on an unspecified address.
	Pktinfo bool
	// DualStack makes a socket on [::] serve IPv4 too.
	DualStack bool
	// Buffers is the size in bytes of the kernel's send and receive buffers, as far
	// as it may be had; 0 leaves the system's default.
	Buffers int
}

// Drop says why a datagram was not sent.
type Drop uint8

// The reasons.
const (
	DropClosed      Drop = iota // the Conn has been closed
	DropFull                    // the kernel's buffer or the device's queue is full
	DropUnreachable             // no route, or nobody there
	DropTooBig                  // larger than a datagram can be, or than the path lets through
	DropRefused                 // a firewall or the system's rules forbid it
	DropFamily                  // the destination is of a family that the Conn does not have
	DropOther
	Drops // the number of reasons
)

// String returns the reason as a metric's label.
func (d Drop) String() string {
	switch d {
	case DropClosed:
		return "closed"
	case DropFull:
		return "full"
	case DropUnreachable:
		return "unreachable"
	case DropTooBig:
		return "too_big"
	case DropRefused:
		return "refused"
	case DropFamily:
		return "family"
	default:
		return "other"
	}
}

// ErrFamily is why a datagram was dropped with DropFamily.
var ErrFamily = errors.New("destination of another address family")

const (
	// DefaultSlots is a good size of a Batch: 2 MiB of address space, which counts as live
	// memory to the garbage collector, and so lets as much garbage lie around.
	DefaultSlots = 32
	// slotSize holds the largest datagram and the longest train (16 bits of length).
	slotSize = 1 << 16
	// maxSegments bounds a train, as kernels do (UDP_MAX_SEGMENTS, 64 until Linux 6.9).
	maxSegments = 64
	// maxTrain bounds a train in bytes: 16 bits of length, less the IPv6 and UDP headers.
	maxTrain = 1<<16 - 1 - 40 - 8
)
