package acceptance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNAT has two peers connect through this program from behind each kind of router
// (scripts/nat.sh), in each combination, and exchange bytes by the path that is
// expected: direct where one of the routers lets them, relayed elsewhere, over what
// passes: UDP, else TCP, else TLS at port 443.
func TestNAT(t *testing.T) {
	prefix := namespaces(t, "n")
	files := certificates(t)
	serve(t, prefix+"-server", files)

	const direct = "direct"
	for _, tt := range []struct {
		a, b string
		want [2]string // path as each of them sees it
	}{
		{"cone", "cone", [2]string{direct, direct}},
		{"cone", "symmetric", [2]string{direct, direct}},
		{"symmetric", "cone", [2]string{direct, direct}},
		{"symmetric", "symmetric", [2]string{"udp", "udp"}},
		{"cone", "noudp", [2]string{"udp", "tcp"}},
		{"symmetric", "noudp", [2]string{"udp", "tcp"}},
		{"noudp", "noudp", [2]string{"tcp", "tcp"}},
		{"cone", "web", [2]string{"udp", "tls"}},
		{"symmetric", "web", [2]string{"udp", "tls"}},
		{"noudp", "web", [2]string{"tcp", "tls"}},
		{"web", "web", [2]string{"tls", "tls"}},
	} {
		t.Run(tt.a+"-"+tt.b, func(t *testing.T) {
			t.Parallel()
			host := start(t, prefix+"-"+tt.a+"-a", files, "")
			guest := start(t, prefix+"-"+tt.b+"-b", files, host.line(t))
			for i, p := range []*process{host, guest} {
				var got result
				if err := json.Unmarshal([]byte(p.line(t)), &got); err != nil {
					t.Fatal(err)
				}
				// One of the two may have found a path to the other's relayed address.
				ok := got.Path == tt.want[i] || tt.want[i] != direct && got.Path == direct && got.Remote == "relay"
				if !ok || got.Bytes != payload {
					t.Errorf("peer %d: %+v, want %s", i, got, tt.want[i])
				}
			}
		})
	}
}

// namespaces makes the routers of these kinds, all by default, and returns the prefix of their names.
func namespaces(t *testing.T, letter string, kinds ...string) string {
	t.Helper()
	prefix := letter + strconv.Itoa(os.Getpid())
	out, err := exec.Command("../../scripts/nat.sh", append([]string{"up", prefix}, kinds...)...).CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
		unavailable(t, "network namespaces with NAT can't be made here (root, iproute2, nftables and a kernel with NAT are needed): "+err.Error())
	}
	t.Cleanup(func() {
		if out, err := exec.Command("../../scripts/nat.sh", "down", prefix).CombinedOutput(); err != nil {
			t.Errorf("remove namespaces: %v: %s", err, out)
		}
	})
	return prefix
}

// unavailable ends a test that this machine has no means for: with an error where it
// must not be missing (CI), and loudly elsewhere.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("CAUSEWAY_TEST_NAT") != "" { // make test
		t.Fatal(why)
	}
	fmt.Fprintln(os.Stderr, "NOT TESTED:", why)
	t.Skip(why)
}

// certificates writes an authority's certificate, and one of it for relay.test.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, kind string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay.test"}, DNSNames: []string{"relay.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", "CERTIFICATE", cert)
	write("key.pem", "PRIVATE KEY", der)
	return dir
}

// process is a child in a network namespace.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	said  *bytes.Buffer // errors
}

// inside starts this test binary in a role, in a network namespace.
func inside(t *testing.T, namespace, as, files string, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{lines: make(chan string, 16), said: new(bytes.Buffer)}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", namespace, self}, args...)...)
	p.cmd.Env = append(os.Environ(), append(env, role+"="+as, "SSL_CERT_FILE="+filepath.Join(files, "cert.pem"), "GODEBUG=netdns=go")...)
	p.cmd.Stderr = p.said
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for line := range linesOf(out) {
			p.lines <- line
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = p.in.Close()                       // likewise
		for range p.lines {
		}
		<-read
		_ = p.cmd.Wait() // how it ended is the test's to say
		if t.Failed() {
			t.Logf("%s in %s: %s", as, namespace, p.said)
		}
	})
	return p
}

func linesOf(r io.Reader) func(func(string) bool) {
	return func(yield func(string) bool) {
		b, buf := []byte(nil), make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			b = append(b, buf[:n]...)
			for {
				line, rest, ok := bytes.Cut(b, []byte("\n"))
				if !ok {
					break
				}
				if b = rest; !yield(string(line)) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// line is the next line that the process says.
func (p *process) line(t *testing.T) string {
	t.Helper()
	return p.patient(t, 30*time.Second)
}

// patient waits so long for it.
func (p *process) patient(t *testing.T, atMost time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatal("a process ended early")
		}
		return line
	case <-ctx.Done():
		t.Fatal("a process says nothing")
	}
	return ""
}

// serve starts the program where relay.test is, and waits until it listens.
func serve(t *testing.T, namespace, files string, flags ...string) {
	t.Helper()
	p := inside(t, namespace, "causeway", files, nil, append([]string{"serve",
		"--listen=11.0.0.1:443", "--public-url=https://relay.test", "--turn-listen=11.0.0.1:3478", "--public-ip=11.0.0.1",
		"--tls-cert=" + filepath.Join(files, "cert.pem"), "--tls-key=" + filepath.Join(files, "key.pem"), "--data-dir=" + filepath.Join(files, "data")}, flags...)...)
	for !strings.Contains(p.line(t), "https://") {
	}
}

// start starts a peer: the host, whose first line is its invite, or a guest with that.
func start(t *testing.T, namespace, files, invite string) *process {
	t.Helper()
	return inside(t, namespace, "peer", files, []string{"CAUSEWAY_TEST_INVITE=" + invite})
}
