// Package flood is the driver of causeway bench guard, and of the flood test: honest users who begin
// sessions from a few networks, and an attack from one or very many, all on loopback, where each
// network is one of 127/8 (Linux).
//
// An honest connect is what a page does: a session, negotiate, a WebSocket, the handshake; it does the
// work that it is asked for, and waits when it is told to. The attack asks for sessions at a rate of
// its own, whatever becomes of them, and does work on so many processors, or none.
package flood
