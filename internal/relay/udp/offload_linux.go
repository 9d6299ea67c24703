//go:build linux && !portable

package udp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// offload remembers how trains fare on a Conn. Whether one can leave depends on the
// device and the path, so on the destination, and that may change; and a peer may
// make its own path as narrow as it likes. So trains are given up for a while only.
type offload struct {
	failures atomic.Int32 // since the last train that left
	pause    atomic.Int32 // how many datagrams to send without joining them
}

const (
	trainPatience = 16   // failed trains, about any destination
	trainPause    = 8192 // datagrams
)

// try says whether a datagram may join a train.
func (o *offload) try() bool {
	if o.pause.Load() <= 0 {
		return true
	}
	o.pause.Add(-1)
	return false
}

func (o *offload) left() {
	if o.failures.Load() != 0 {
		o.failures.Store(0)
	}
}

// failed notes that the kernel refused a train. It says whether that was because it
// was one, so that its datagrams may fare better alone.
func (o *offload) failed(errno unix.Errno) bool {
	switch errno {
	case unix.EIO, unix.EOPNOTSUPP: // the device: no checksum offload, or a tunnel
		o.pause.Store(trainPause)
	case unix.EINVAL, unix.EMSGSIZE: // the path: a segment is larger than it lets through
		if o.failures.Add(1) >= trainPatience {
			o.pause.Store(trainPause)
			o.failures.Store(0)
		}
	default:
		return false
	}
	return true
}
