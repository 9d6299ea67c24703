//go:build linux

package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// network is where the driver and the servers meet.
type network struct {
	path   Path
	first  byte       // of the driver's addresses
	server netip.Addr // the servers'
	// names of the namespaces; empty for loopback.
	clients, servers string
}

func loopback() *network {
	return &network{path: Loopback, first: 127, server: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

// vethPair makes two network namespaces with a pair of virtual Ethernet devices
// between them. It needs the rights of root.
func vethPair() (*network, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("the command ip is missing: install iproute2")
	}
	suffix := strconv.Itoa(os.Getpid())
	nw := &network{path: Veth, first: 11, server: netip.AddrFrom4([4]byte{11, 255, 0, 1}), clients: "cwbc" + suffix, servers: "cwbs" + suffix}
	for _, line := range []string{
		"netns add " + nw.clients,
		"netns add " + nw.servers,
		"link add name cw0 netns " + nw.clients + " type veth peer name cw1 netns " + nw.servers,
		"-n " + nw.clients + " link set lo up",
		"-n " + nw.servers + " link set lo up",
		"-n " + nw.clients + " addr add 11.255.0.2/30 dev cw0",
		"-n " + nw.servers + " addr add 11.255.0.1/30 dev cw1",
		"-n " + nw.clients + " link set cw0 up",
		"-n " + nw.servers + " link set cw1 up",
		// All of the driver's addresses are its own without being listed, and the servers
		// have one neighbour only.
		"-n " + nw.clients + " route add local 11.0.0.0/9 dev lo",
		"-n " + nw.servers + " route add 11.0.0.0/9 via 11.255.0.2",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out))), nw.close())
		}
	}
	return nw, nil
}

// close removes the namespaces, and with them the devices.
func (nw *network) close() error {
	var errs []error
	for _, name := range []string{nw.clients, nw.servers} {
		if _, err := os.Stat("/run/netns/" + name); name != "" && err == nil {
			errs = append(errs, exec.Command("ip", "netns", "del", name).Run())
		}
	}
	return errors.Join(errs...)
}

// address is the i-th of the driver's addresses of one kind: 1 clients, 2 peers.
func (nw *network) address(kind byte, i int) netip.Addr {
	i++
	return netip.AddrFrom4([4]byte{nw.first, kind, byte(i >> 8), byte(i)})
}

// command is argv, to be run where the servers are.
func (nw *network) command(argv []string) []string {
	if nw.servers == "" {
		return argv
	}
	return slices.Concat([]string{"ip", "netns", "exec", nw.servers}, argv)
}

// inside calls f where the clients are: sockets that it opens stay there.
func (nw *network) inside(f func() error) error { return inNamespace(nw.clients, f) }

// freePort is a port of the servers' address that nobody uses now.
func (nw *network) freePort() (netip.AddrPort, error) {
	var addr netip.AddrPort
	err := inNamespace(nw.servers, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer func() { _ = unix.Close(fd) }() // nothing was sent
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: nw.server.As4()}); err != nil {
			return os.NewSyscallError("bind", err)
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return os.NewSyscallError("getsockname", err)
		}
		addr = netip.AddrPortFrom(nw.server, uint16(sa.(*unix.SockaddrInet4).Port))
		return nil
	})
	return addr, err
}

// inNamespace calls f on a thread that is in the network namespace.
func inNamespace(name string, f func() error) error {
	if name == "" {
		return f()
	}
	result := make(chan error)
	go func() {
		// The thread ends with the goroutine, as it is not unlocked.
		runtime.LockOSThread()
		result <- func() error {
			file, err := os.Open("/run/netns/" + name)
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("setns", err)
			}
			return f()
		}()
	}()
	return <-result
}
