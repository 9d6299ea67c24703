//go:build linux && !portable

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a UDP socket. At most one goroutine reads it, by Read or in a Poller;
// any number may send, each by a Writer of its own.
type Conn struct {
	fd    int
	local netip.AddrPort
	v6    bool // an AF_INET6 socket
	dual  bool // one that takes IPv4 too
	info  bool // Options.Pktinfo
	gro   bool
	gso   bool
	// use counts who is in a system call on fd; it has closing set once Close was called.
	use    atomic.Int32
	poller atomic.Pointer[Poller]
	slot   uint32 // in the Poller; guarded by the Poller's lock
	trains offload
}

// closing is above any count.
const closing = 1 << 30

// CanShare says whether Options.ReusePort works on this system.
func CanShare() bool { return true }

// Listen opens a socket on addr; port 0 chooses one.
func Listen(addr netip.AddrPort, o Options) (*Conn, error) {
	c, err := listen(addr, o)
	if err != nil {
		return nil, fmt.Errorf("listen on udp: %w", err)
	}
	return c, nil
}

func listen(addr netip.AddrPort, o Options) (*Conn, error) {
	if !addr.IsValid() {
		return nil, errors.New("invalid address")
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c := &Conn{v6: addr.Addr().Is6(), info: o.Pktinfo}
	c.dual = c.v6 && o.DualStack && addr.Addr().IsUnspecified()
	family := unix.AF_INET
	if c.v6 {
		family = unix.AF_INET6
	}
	var err error
	c.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := c.configure(o); err != nil {
		return nil, errors.Join(err, unix.Close(c.fd))
	}
	if err := c.bind(addr); err != nil {
		return nil, errors.Join(err, unix.Close(c.fd))
	}
	return c, nil
}

func (c *Conn) configure(o Options) error {
	set := func(level, name, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(c.fd, level, name, value))
	}
	var errs []error
	if c.v6 {
		only := 1
		if c.dual {
			only = 0
		}
		errs = append(errs, set(unix.SOL_IPV6, unix.IPV6_V6ONLY, only))
	}
	if o.ReusePort {
		errs = append(errs, set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}
	if o.Pktinfo && c.v6 {
		errs = append(errs, set(unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
	} else if o.Pktinfo {
		errs = append(errs, set(unix.SOL_IP, unix.IP_PKTINFO, 1))
	}
	if o.Buffers > 0 {
		for _, b := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if set(unix.SOL_SOCKET, b[0], o.Buffers) != nil { // needs CAP_NET_ADMIN
				errs = append(errs, set(unix.SOL_SOCKET, b[1], o.Buffers)) // as much as the system allows
			}
		}
	}
	c.gro = o.GRO && set(unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	if o.GSO {
		_, err := unix.GetsockoptInt(c.fd, unix.SOL_UDP, unix.UDP_SEGMENT)
		c.gso = err == nil
	}
	return errors.Join(errs...)
}

func (c *Conn) bind(addr netip.AddrPort) error {
	var sa unix.Sockaddr
	if c.v6 {
		sa = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zoneID(addr.Addr())}
	} else {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	if err := unix.Bind(c.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	sa, err := unix.Getsockname(c.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		c.local = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		c.local = netip.AddrPortFrom(withZone(netip.AddrFrom16(sa.Addr), sa.ZoneId), uint16(sa.Port))
	}
	return nil
}

// LocalAddr is the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Offload says whether trains can be received and sent. Sending may still fall back.
func (c *Conn) Offload() (gro, gso bool) { return c.gro, c.gso }

// Overflows returns how many datagrams the kernel has dropped because nobody read
// them in time (socket(7), SO_MEMINFO), modulo 2³².
func (c *Conn) Overflows() (uint32, error) {
	if !c.acquire() {
		return 0, net.ErrClosed
	}
	defer c.release()
	var info [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	return info[unix.SK_MEMINFO_DROPS], nil
}

// Close ends the Conn: a Read returns, a Poller forgets it, and what a Writer still
// holds for it is dropped.
func (c *Conn) Close() error {
	for {
		n := c.use.Load()
		if n&closing != 0 {
			return net.ErrClosed
		}
		if c.use.CompareAndSwap(n, n+1|closing) { // and hold it
			break
		}
	}
	if p := c.poller.Load(); p != nil {
		p.Remove(c)
	}
	// Wakes a reader. It says ENOTCONN, as the socket has no peer, and does it all the same.
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	c.release()
	return nil
}

// acquire keeps fd open until release. It is false once Close was called.
func (c *Conn) acquire() bool {
	for {
		n := c.use.Load()
		if n&closing != 0 {
			return false
		}
		if c.use.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release closes the socket if it was held last after Close.
func (c *Conn) release() {
	if c.use.Add(-1) == closing {
		_ = unix.Close(c.fd) // nothing is buffered that could fail
	}
}
