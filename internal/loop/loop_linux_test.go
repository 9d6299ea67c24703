package loop

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// source hands what it reads to a test.
type source struct {
	sock     *Socket
	got      chan []byte // closed at the end
	writable chan bool
	before   func(t *Turn, b []byte) // called before got is sent to
}

func (s *source) Readable(t *Turn) {
	n, open := s.sock.Read(t.Buffer())
	if !open {
		s.sock.Close()
		close(s.got)
		return
	}
	b := bytes.Clone(t.Buffer()[:n])
	if s.before != nil {
		s.before(t, b)
	}
	if n > 0 {
		s.got <- b
	}
}

func (s *source) Writable() { s.writable <- true }

type bench struct {
	*Loop
	running sync.WaitGroup
	refuse  atomic.Bool // to start goroutines
}

func start(t *testing.T) *bench {
	t.Helper()
	b := new(bench)
	spawn := func(f func()) bool {
		if b.refuse.Load() {
			return false
		}
		b.running.Go(f)
		return true
	}
	var err error
	if b.Loop, err = New(spawn); err != nil || !b.Start() {
		t.Fatal("no loop", err)
	}
	t.Cleanup(b.running.Wait)
	t.Cleanup(b.Close)
	return b
}

func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// join gives the loop a connection, whose other end is returned.
func (b *bench) join(t *testing.T, before func(*Turn, []byte)) (*net.TCPConn, *source) {
	t.Helper()
	client, server := pair(t)
	src := &source{got: make(chan []byte, 64), writable: make(chan bool, 1), before: before}
	if err := b.Adopt(server, src, func(s *Socket) { src.sock = s }); err != nil {
		t.Fatal(err)
	}
	return client, src
}

func say(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := c.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
}

// hear reads as much as want is long.
func (s *source) hear(t *testing.T, want string) {
	t.Helper()
	var all []byte
	for len(all) < len(want) {
		b, ok := <-s.got
		if !ok {
			break
		}
		all = append(all, b...)
	}
	if string(all) != want {
		t.Fatalf("heard %q, want %q", all, want)
	}
}

// end waits for the end.
func (s *source) end(t *testing.T) {
	t.Helper()
	if b, ok := <-s.got; ok {
		t.Fatalf("heard %q, want the end", b)
	}
}

func TestManySocketsBothWays(t *testing.T) {
	l := start(t)
	for range 300 { // more than one wait names
		c, s := l.join(t, nil)
		defer func() {
			say(t, c, "ping")
			s.hear(t, "ping")
			if n, err := s.sock.Write([]byte("pong")); n != 4 || err != nil {
				t.Error(n, err)
			}
			if b := make([]byte, 4); true {
				if _, err := io.ReadFull(c, b); err != nil || string(b) != "pong" {
					t.Error(string(b), err)
				}
			}
			c.Close()
			s.end(t)
			if _, err := s.sock.Write([]byte("x")); err == nil {
				t.Error("wrote to a closed socket")
			}
			if s.sock.Await(true) {
				t.Error("a closed socket promises to be writable")
			}
		}()
	}
}

// A socket takes the place of one that was closed, and hears nothing of it.
func TestSlotsAreUsedAgain(t *testing.T) {
	l := start(t)
	for range 100 {
		c, s := l.join(t, nil)
		say(t, c, "a")
		s.hear(t, "a")
		c.Close()
		s.end(t)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.slots) > 1 {
		t.Errorf("%d slots for one socket at a time", len(l.slots))
	}
}

func TestHalfClose(t *testing.T) {
	l := start(t)
	c, s := l.join(t, nil)
	s.sock.CloseWrite()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	say(t, c, "still here")
	s.hear(t, "still here")
	s.sock.Abort()
	s.end(t)
}

// While one Source waits, the others are served; it is not called again before it
// has returned, and then hears the rest.
func TestLeave(t *testing.T) {
	l := start(t)
	waiting, go_on := make(chan bool), make(chan bool)
	var inside atomic.Int32
	c, s := l.join(t, func(turn *Turn, b []byte) {
		if inside.Add(1) != 1 {
			t.Error("called while it waits")
		}
		if b[0] == 'w' {
			for range 2 { // once more changes nothing
				if !turn.Leave() {
					t.Error("may not wait")
				}
			}
			waiting <- true
			<-go_on
		}
		inside.Add(-1)
	})
	c2, s2 := l.join(t, nil)
	for range 3 {
		say(t, c, "wait")
		<-waiting
		say(t, c, "more")
		for range 10 {
			say(t, c2, "other")
			s2.hear(t, "other")
		}
		go_on <- true
		s.hear(t, "waitmore")
	}
	// An end that comes meanwhile is heard, too.
	say(t, c, "wait")
	<-waiting
	c.Close()
	go_on <- true
	s.hear(t, "wait")
	s.end(t)
}

// A Source that waits can still be told that it may write.
func TestWritableWhileLeft(t *testing.T) {
	l := start(t)
	waiting, go_on := make(chan bool), make(chan bool)
	c, s := l.join(t, func(turn *Turn, _ []byte) {
		turn.Leave()
		waiting <- true
		<-go_on
	})
	say(t, c, "wait")
	<-waiting
	sent := fill(t, s.sock)
	if !s.sock.Await(true) {
		t.Fatal("nobody will call")
	}
	if _, err := io.CopyN(io.Discard, c, sent); err != nil {
		t.Fatal(err)
	}
	<-s.writable

	// It hears of the end so, as well.
	fill(t, s.sock)
	if !s.sock.Await(true) {
		t.Fatal("nobody will call")
	}
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-s.writable
	if _, err := s.sock.Write([]byte("x")); err == nil {
		t.Error("wrote to a connection that is gone")
	}
	go_on <- true
	s.hear(t, "wait")
	s.end(t)
}

func TestWritable(t *testing.T) {
	l := start(t)
	c, s := l.join(t, nil)
	for range 3 {
		sent := fill(t, s.sock)
		if !s.sock.Await(true) {
			t.Fatal("nobody will call")
		}
		say(t, c, "reading goes on")
		s.hear(t, "reading goes on")
		if _, err := io.CopyN(io.Discard, c, sent); err != nil {
			t.Fatal(err)
		}
		<-s.writable
	}
	if len(s.writable) > 0 {
		t.Error("called more than once")
	}
}

// fill writes until the socket takes no more.
func fill(t *testing.T, s *Socket) (sent int64) {
	t.Helper()
	b := make([]byte, 1<<16)
	for {
		n, err := s.Write(b)
		if err != nil {
			t.Fatal(err)
		}
		if sent += int64(n); n < len(b) {
			return sent
		}
	}
}

// The descriptor of a socket may become another connection's as soon as it is closed.
// Whoever uses it at that time must not touch the other.
func TestCloseWhileUsed(t *testing.T) {
	l := start(t)
	for range 200 {
		c, s := l.join(t, nil)
		var users sync.WaitGroup
		for range 2 {
			users.Go(func() {
				for {
					if _, err := s.sock.Write([]byte("x")); err != nil {
						return
					}
					s.sock.Await(true)
					s.sock.Await(false)
				}
			})
		}
		users.Go(func() { _, _ = io.Copy(io.Discard, c) }) // until the end
		runtime.Gosched()
		users.Go(s.sock.Close)
		users.Go(s.sock.Close)
		users.Wait()
		if use := s.sock.use.Load(); use != 2*closing {
			t.Fatalf("%d uses of a closed descriptor", use-2*closing)
		}
	}
}

func TestClosedLoop(t *testing.T) {
	l := start(t)
	waiting, go_on := make(chan bool), make(chan bool)
	c, s := l.join(t, func(turn *Turn, _ []byte) {
		l.refuse.Store(true)
		waiting <- true
		<-go_on
		if turn.Leave() {
			t.Error("may wait, after the end")
		}
	})
	say(t, c, "x")
	<-waiting
	l.Close()
	l.Close()
	go_on <- true
	l.running.Wait()
	if s.sock.Await(true) {
		t.Error("an ended loop promises a call")
	}
	if _, err := s.sock.Write([]byte("bye")); err != nil {
		t.Error("the socket is not closed:", err)
	}
	s.sock.Close()
	_, server := pair(t)
	err := l.Adopt(server, s, func(*Socket) { t.Error("adopted after the end") })
	if err == nil {
		t.Error("adopted after the end")
	}
	if _, err := server.Write([]byte("x")); err == nil {
		t.Error("the connection that was refused is open")
	}
	if l.Start() {
		t.Error("started after the end")
	}
}
