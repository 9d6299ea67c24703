// Package load drives a server with many connections from one goroutine, and
// measures how long its messages take. It is the driver of causeway bench
// realtime, which shares its machine with the server, so it must be light:
//
//   - One goroutine and one epoll instance for all connections ([Loop]); sockets
//     are non-blocking and read into one buffer.
//   - What is spoken is a [Dialect]: SignalR over WebSockets, PeerJS, HTTP for the
//     data plane, or length-prefixed frames for the bare yardsticks. All of them
//     are driven by the same code, so that figures differ by the server alone.
//   - Messages are paced by a tick of about a millisecond, not by timers of their
//     own. A message carries the time at which it was due, so latency includes what
//     the driver itself is late by (which [Result] also shows).
//
// Only loopback addresses are dialled. Source addresses are 127.0.0.2 and up,
// 180 connections each, which avoids the limits per address of ports
// and of servers. It needs Linux.
package load
