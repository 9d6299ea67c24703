// Package relay measures a TURN server as a process of its own, and others beside
// it in the same run: coturn, a bare UDP forwarder, or whatever runs already.
//
//	Run ─▶ network: loopback, or a veth pair between two namespaces
//	     ─▶ subject: a child process             causeway relay, turnserver, the forwarder
//	     ─▶ Fleet: its clients and their peers, driven from this process
//	     ─▶ trial: packets at a rate, counted where they arrive
//	     ─▶ Report ─▶ Bars: ratios and limits, held or not
//
// The subjects take turns, a few seconds each, and the median of the turns counts.
// CPU is what the operating system says the server used, divided by the packets and
// payload bytes that were delivered; so a server gains nothing by losing packets.
//
// The driver must not be what is measured. All clients of a Fleet share one socket,
// and all peers another: each client has a source address of its own in 127.1.0.0/16
// (11.1.0.0/16 between namespaces, where addresses are nobody's), each peer one in
// 127.2.0.0/16. So a thousand five-tuples cost two descriptors, and bursts leave and
// arrive as trains (package udp). The rate is kept by the clock, and caught up with
// after a few milliseconds' delay, but not after more: where others have the CPU, less
// is sent, which the report says. Packets carry the number of the trial, so that stragglers of an earlier one
// don't count.
//
// On loopback and veth the kernel's receive path runs in the time of whoever sent,
// with either server: half of what one hop costs is the driver's here, for all
// subjects alike.
package relay
