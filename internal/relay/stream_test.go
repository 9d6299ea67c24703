package relay

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// tcpPipe is one end of an in-memory connection that has an address.
type tcpPipe struct{ net.Conn }

func (tcpPipe) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.9:4000"))
}

// newStream makes a stream whose goroutines run, and returns the client's end. ended is
// closed when both have ended.
func newStream(t *testing.T) (st *stream, theirs net.Conn, ended <-chan struct{}) {
	t.Helper()
	cfg, err := Config{Secrets: func() [][]byte { return nil }, Shards: 1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: cfg, metrics: newMetrics(), table: newTable(cfg.Limits, false), workers: make(chan *worker, 1)}
	s.workers <- s.newWorker()
	s.streams = newStreams(s)
	ours, theirs := net.Pipe()
	if st = s.streams.admit(tcpPipe{ours}, overTCP); st == nil {
		t.Fatal("not admitted")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			st.write()
		}()
		st.read()
		st.close()
		<-writing
	}()
	t.Cleanup(func() {
		st.cut()
		<-done
		_ = theirs.Close()
		if n := len(s.streams.open) + len(s.streams.sources); n != 0 {
			t.Errorf("%d entries left", n)
		}
	})
	return st, theirs, done
}

func TestIdleStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, ended := newStream(t)
		began := time.Now()
		<-ended
		if took := time.Since(began); took != streamIdle {
			t.Errorf("ended after %v", took)
		}
	})
}

// With an allocation a stream may idle; when that ends, for 30 s.
func TestIdleStreamWithAllocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _, ended := newStream(t)
		began := time.Now()
		a := &allocation{client: st.client}
		st.allocation.Store(a)
		st.arm()
		time.AfterFunc(time.Hour, func() {
			st.allocation.Store(nil)
			st.arm()
		})
		<-ended
		if took := time.Since(began); took != time.Hour+streamIdle {
			t.Errorf("ended after %v", took)
		}
	})
}

// A client that takes nothing is cut after 10 s, and what waits for it is bounded.
func TestStuckStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, theirs, ended := newStream(t)
		began := time.Now()
		sent := 0
		for st.send([]byte{0x40, 0, 0x04, 0x01}, make([]byte, 1025)) {
			sent++
		}
		if want := outbox/1032 + 1; sent < want || sent > 2*want {
			t.Errorf("%d frames were queued, want %d, or twice as many if some are being written", sent, want)
		}
		<-ended
		if took := time.Since(began); took != streamWrite {
			t.Errorf("ended after %v", took)
		}
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is open: %v", err)
		}
	})
}

// What is sent is padded to 4 bytes, and in order.
func TestStreamPadding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, theirs, _ := newStream(t)
		st.send([]byte{0x40, 0, 0, 5}, []byte("hello"))
		st.send(nil, []byte("next"))
		b := make([]byte, 16)
		if _, err := io.ReadFull(theirs, b); err != nil {
			t.Fatal(err)
		}
		if string(b) != "\x40\x00\x00\x05hello\x00\x00\x00next" {
			t.Errorf("%q", b)
		}
	})
}
