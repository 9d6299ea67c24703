// Package nattest holds the test of the whole program on a small internet with real NAT
// (scripts/nat.sh): peers behind every kind of router, in each combination. The test
// binary is started again in network namespaces, as the program itself and as peers.
package nattest
