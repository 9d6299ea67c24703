package smoke

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// servers asks for ICE servers. The list may be empty, where there is no STUN server; what is in it comes
// without credentials.
func (r *runner) servers(ctx context.Context) error {
	var a struct{ ICEServers []iceServer }
	if err := r.post(ctx, r.base+"/api/ice", r.host.grant, struct{}{}, &a); err != nil {
		return err
	}
	for _, s := range a.ICEServers {
		if s.Credential != "" {
			return errors.New("credentials for the asking: they must come by relay only")
		}
	}
	if a.ICEServers == nil {
		return errors.New("the answer has no list of them")
	}
	return nil
}

// allocate asks for the use of a relay as two peers without a path do, and allocates by the first of
// its URLs that answers.
func (r *runner) allocate(ctx context.Context) error {
	ask := map[string]any{"to": r.guest.id, "link": 1, "bytes": 1 << 20}
	if err := r.host.conn.invoke(ctx, "relay", ask); err != nil {
		return err
	}
	e, err := r.host.conn.event(ctx, "relay")
	if err != nil {
		return fmt.Errorf("no relay was offered: %w", err)
	}
	var errs []error
	for _, s := range e.ICEServers {
		for _, u := range s.URLs {
			uri, err := stun.ParseURI(u)
			if err != nil || (uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS) {
				continue
			}
			if err = allocate(ctx, uri, s); err == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("%s by %s: %w", uri.Scheme, uri.Proto, err))
		}
	}
	if len(errs) == 0 {
		return errors.New("the offer has no TURN server")
	}
	return errors.Join(errs...)
}

// shy is how long one URL may take: networks that drop UDP say nothing.
const shy = 5 * time.Second

// allocate allocates once, and gives it back.
func allocate(ctx context.Context, uri *stun.URI, s iceServer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, shy)
	defer cancel()
	conn, err := transport(ctx, uri)
	if err != nil {
		return err
	}
	// Closing the socket ends a client that waits.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: conn.server, Conn: conn, Username: s.Username, Password: s.Credential,
	})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() {
		client.Close()
		_ = conn.Close()
	}()
	if err := client.Listen(); err != nil {
		return err
	}
	relayed, err := client.Allocate()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return err
	}
	return relayed.Close()
}

// packetConn is a socket to a TURN server at an address.
type packetConn struct {
	net.PacketConn
	server string
}

// transport opens what a URL asks for: UDP, TCP or TLS over TCP.
func transport(ctx context.Context, uri *stun.URI) (*packetConn, error) {
	server := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
	if uri.Proto == stun.ProtoTypeUDP && uri.Scheme == stun.SchemeTypeTURN {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", uri.Host)
		if err != nil || len(addrs) == 0 {
			return nil, fmt.Errorf("resolve: %w", err)
		}
		slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return rank(a) - rank(b) })
		network := "udp6"
		if addrs[0].Unmap().Is4() {
			network = "udp4"
		}
		var lc net.ListenConfig
		pc, err := lc.ListenPacket(ctx, network, ":0")
		if err != nil {
			return nil, err
		}
		return &packetConn{pc, net.JoinHostPort(addrs[0].Unmap().String(), fmt.Sprint(uri.Port))}, nil
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	if uri.Scheme == stun.SchemeTypeTURNS {
		t := tls.Client(c, &tls.Config{ServerName: uri.Host, MinVersion: tls.VersionTLS12})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c = t
	}
	return &packetConn{turn.NewSTUNConn(c), c.RemoteAddr().String()}, nil
}

// rank puts IPv4 first: machines of pipelines rarely have IPv6.
func rank(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}
