// Package hub is the realtime service in this process: SignalR clients connect to
// it over WebSockets, Server-Sent Events or long polling, and applications reach
// them through realtime.Service and realtime.Handler. On the wire it is Azure
// SignalR Service in Serverless mode.
//
// One Hub holds any number of named hubs. A connection has these parts, a file each:
//
//	net/http ─▶ negotiate.go, connect.go   who are you, which connection
//	              │
//	            link: ws.go, sse.go, poll.go   moves bytes, knows no messages
//	              │ feed                ▲ flush
//	            conn.go: state        outbox.go: queue of frames
//	              │
//	            dispatch.go: inbox ─▶ worker ─▶ realtime.Handler
//
//	realtime.Service (service.go) ─▶ space.go: connections, groups, users ─▶ outbox
//
// Rules that keep it fast and small:
//
//   - An idle connection is an entry in tables: no goroutine, buffer or timer.
//     One goroutine for two processors reads all WebSockets (package loop; those
//     over TLS have a goroutine each), and Run looks at all connections once a
//     second (sweep.go).
//   - A message is encoded once per hub protocol, with its WebSocket header, and
//     all recipients share the bytes.
//   - Whoever sends a message writes it, if nobody writes to the connection yet and
//     the socket takes it at once. What it does not take is written by the loop
//     when it does. One goroutine at a time owns the writes, and a sender never
//     waits for a client.
//   - Handlers run on workers, one at a time per connection and in order, so that a
//     connection is read while its handler works; a full inbox makes its reader
//     wait, which leaves the loop. A handler that promises not to wait
//     (prompt.go) runs on the goroutine that reads, and what it sends is written
//     when all that one read has brought is handled.
//
// With stateful reconnect (resume.go, package replay) a connection survives its transport for a
// while, and replays what the client has not acknowledged. With a Broker
// (cluster.go) hubs are nodes: a connection id names the node that holds it, and
// groups and users span all of them.
//
// Everything is bounded, see Limits: a full outbox closes the connection
// (SlowClient), a full inbox stops reading, all else is refused and counted.
//
// Locks: conn.reader.mu, which feeding holds, then Hub.mu, then space.mu, then
// conn.mu; but for the first, none is held during a write, a handler's call or a
// call of the broker.
package hub
