// Package router says what the router shall hold and how far it is from that:
// the configuration and its faults, the rows that follow from it, the rows that
// are there, and the plan that leads from these to those, with the script that
// takes it back. It changes nothing by itself: commit carries plans out,
// bootstrap takes a fresh router over, ports moves single ports.
//
// Only fields that the configuration declares are compared. Rows of ours carry
// a mark, "provision:KEY" in the comment, or in the name "provision-KEY" where a
// menu has no comments; every other row is foreign and stays as it is, unless
// the operator prunes or adopts it.
package router
