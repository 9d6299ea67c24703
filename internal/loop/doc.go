// Package loop reads many TCP connections on few goroutines. The runtime's own
// poller wakes a goroutine for each connection that has bytes, keeps a stack for
// each that waits, and asks twice for each message, as it must see EAGAIN before it
// waits. A Loop has one epoll(7) descriptor, level-triggered: one wait names all
// connections that have something, and each of them is read once.
//
// A connection is taken from the runtime's poller by Adopt, and is a Socket then:
// bytes are read by the Source that belongs to it, on the loop's goroutine, which
// must not wait for anything. A Source that has to, calls Turn.Leave first: its
// goroutine is then its own, another goes on with the loop, and the Socket is not
// read until the Source has returned.
//
// Writing needs no loop but when the socket is full: Await asks for a call of
// Source.Writable.
//
// Locks: Loop.mu guards the table and is not held during calls of a Source.
package loop
