//go:build unix

package hub

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the socket of a TCP connection, for reads and writes that do
// not block.
func rawConn(nc net.Conn) syscall.RawConn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// tryRead reads once into a buffer from the pool. If there is nothing to read it
// gives the buffer back and asks to be called when there is.
func (l *wsLink) tryRead(fd uintptr) (done bool) {
	in := &l.in
	if in.buf == nil {
		in.buf = readPool.Get().(*[readSize]byte)
	}
	for {
		n, err := syscall.Read(int(fd), in.buf[in.have:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if in.have == 0 {
				readPool.Put(in.buf)
				in.buf = nil
			}
			return false
		case err != nil:
			in.err = err
		case n == 0:
			in.err = io.EOF
		default:
			in.have += n
		}
		return true
	}
}

// tryWrite writes what the socket takes at once of out.data.
func (l *wsLink) tryWrite(fd uintptr) (done bool) {
	for len(l.out.data) > 0 {
		n, err := syscall.Write(int(fd), l.out.data)
		if n > 0 {
			l.out.data = l.out.data[n:]
			continue
		}
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			l.out.err = err
		}
		return true
	}
	return true
}
