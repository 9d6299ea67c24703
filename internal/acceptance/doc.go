// Package acceptance holds tests of the whole program from outside, as its peers and its
// enemies see it: the test binary is started again, as the program itself and as peers,
// some of them in network namespaces with real NAT (scripts/nat.sh).
package acceptance
