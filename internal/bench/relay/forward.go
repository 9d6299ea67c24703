package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"
)

// Forward is the yardstick: it passes datagrams between clients and the peers that
// they named, with one goroutine and one socket for each client, one call for each
// datagram, no protocol and no limits. It serves a port of addr until ctx ends, and
// writes its address as a line to w.
func Forward(ctx context.Context, addr netip.Addr, w io.Writer) error {
	conn, err := listenBare(addr)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	f := &forwarder{ctx: ctx, g: g, conn: conn, addr: addr, clients: map[netip.AddrPort]*forwarded{}}
	g.Go(func() error {
		<-ctx.Done()
		return conn.Close()
	})
	if _, err := fmt.Fprintln(w, conn.LocalAddr()); err != nil {
		return errors.Join(fmt.Errorf("print the address: %w", err), conn.Close())
	}
	g.Go(f.clientsToPeers)
	return g.Wait()
}

// listenBare listens as one would, but for the buffers: bursts shall fit.
func listenBare(addr netip.Addr) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := errors.Join(conn.SetReadBuffer(4<<20), conn.SetWriteBuffer(4<<20)); err != nil {
		return nil, fmt.Errorf("listen: %w", errors.Join(err, conn.Close()))
	}
	return conn, nil
}

type forwarder struct {
	ctx     context.Context
	g       *errgroup.Group
	conn    *net.UDPConn
	addr    netip.Addr
	clients map[netip.AddrPort]*forwarded // of the goroutine that reads conn
}

// forwarded is a client.
type forwarded struct {
	conn *net.UDPConn
	peer netip.AddrPort
}

func (f *forwarder) clientsToPeers() error {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return f.ended(err)
		}
		c := f.clients[from]
		if c == nil {
			if err := f.meet(from, buf[:n]); err != nil {
				return err
			}
			continue
		}
		if id, _, ok := parseForward(buf[:n]); ok { // it was asked again
			f.answer(from, id, c)
			continue
		}
		_, _ = c.conn.WriteToUDPAddrPort(buf[:n], c.peer) // lost, as on any network
	}
}

func (f *forwarder) meet(from netip.AddrPort, b []byte) error {
	id, peer, ok := parseForward(b)
	if !ok {
		return nil
	}
	conn, err := listenBare(f.addr)
	if err != nil {
		return err
	}
	c := &forwarded{conn, peer}
	f.clients[from] = c
	f.g.Go(func() error {
		<-f.ctx.Done()
		return conn.Close()
	})
	f.g.Go(func() error {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return f.ended(err)
			}
			_, _ = f.conn.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	f.answer(from, id, c)
	return nil
}

func (f *forwarder) answer(to netip.AddrPort, id transaction, c *forwarded) {
	relayed := c.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	_, _ = f.conn.WriteToUDPAddrPort(forwardRequest(id, relayed), to)
}

// ended is the error of a reader: none when the forwarder was told to end.
func (f *forwarder) ended(err error) error {
	if f.ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("read: %w", err)
}
