// Package dhcp answers machines that have no address yet. It is a DHCPv4
// server (RFC 2131): full, with pools, reservations and durable leases, or a
// proxy that adds boot files beside somebody else's server; attached to a
// network or behind a relay. It also ends iPXE's wait for an IPv6 router.
//
// What a machine boots is decided by package boot, leases are kept by the
// caller's Leases, and what the appliance knows of a machine by its Hosts.
//
// The handler is pure: a packet and the time go in, a decision comes out, and
// what the disk shall hold is in a ledger. The server around it reads packets in
// batches and decides all of a batch; a committer empties the ledger, with one
// sync for as much as has come together. A lease is in the ledger from its OFFER
// on, and its ACK waits until it is durable.
package dhcp
