// Package measure is what all benchmarks share: servers as processes of their own,
// what the operating system says they used, and limits that figures are held to.
//
// CPU time has a resolution of 10 ms, memory one of a page. Children end with the
// benchmark, whatever ends it: they are asked to, then killed, and the kernel kills
// them if this process dies.
package measure
