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
//   - An idle connection is one goroutine that waits for bytes, without a buffer.
//     The goroutine is started by us and not net/http's, whose buffers are free
//     after the upgrade. There are no timers per connection: Run looks at all of
//     them once a second (sweep.go).
//   - A message is encoded once per hub protocol, with its WebSocket header, and
//     all recipients share the bytes.
//   - Whoever sends a message writes it, if nobody writes to the connection yet and
//     the socket takes it at once. Otherwise a writer goroutine lives until the
//     queue is empty. Either way one goroutine at a time owns the writes, and a
//     sender never waits for a client.
//   - Handlers run on workers, one at a time per connection and in order, so that a
//     connection is read while its handler works. One that promises not to wait
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
