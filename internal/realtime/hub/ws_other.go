//go:build !unix

package hub

import (
	"net"
	"syscall"
)

// rawConn returns nil: elsewhere than on Unix reads and writes go through net.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (l *wsLink) tryRead(uintptr) bool  { return true }
func (l *wsLink) tryWrite(uintptr) bool { return true }
