// Package udp moves datagrams in batches: many for one system call, and whole
// trains of equal ones as a single buffer where the kernel can (UDP generic
// segmentation and receive offload, udp(7)). A relay spends nearly all of its
// time in the kernel's send and receive paths, so this is where it gets cheap.
//
//	Listen ─▶ Conn ──Read──────────▶ Batch ─▶ []Packet        one goroutine a Conn, or
//	          Conn ─┐
//	          Conn ─┼▶ Poller.Wait ─▶ Batch ─▶ []Group          one goroutine for thousands
//	          Conn ─┘
//	          Conn ◀─Flush── Writer ◀──Send──                   one goroutine a Writer
//
// On Linux that is recvmmsg(2) and sendmmsg(2) on blocking sockets of our own,
// outside the runtime's network poller: one that is read all the time would only
// be woken twice. A train arrives in one slot of the Batch and is handed out as
// packets that point into it. A Writer joins what follows each other to the same
// destination in the same size; what cannot travel as a train (the device has no
// checksum offload, the path is too narrow) is sent again one by one, and when it
// goes on like that, trains are not tried for a while. The variant for other
// systems (portable.go) has the same behaviour, one datagram a call.
//
// Nothing is allocated for a packet. Memory belongs to the Batch and the Writer,
// which a shard owns; a Conn without them costs its socket and some 100 bytes.
//
// A goroutine that waits for packets is in a system call and keeps its share of
// GOMAXPROCS for up to 10 ms, until the runtime takes it away. Where readers are as
// many as GOMAXPROCS, a packet may have to wait for that, and the hand-over costs a
// sixth of all CPU time at single packets. So a program should raise GOMAXPROCS by
// the number of its readers.
//
// Bounds: a Batch holds as many receive calls' worth as it has slots; what does
// not fit waits in the kernel's buffer, which drops when full (Conn.Overflows). A
// Writer holds a bounded number of datagrams and flushes by itself when full. It
// never waits for a socket: what the kernel does not take now is dropped and
// counted by reason, as a network would.
//
// Errors that ICMP reports about single destinations are no errors of a Conn:
// reading goes on.
package udp
