// Package dhcptest plays machines that ask for addresses: one at a time, as
// their firmware would (Segment, Machine), or a whole rack at once (Load), on a
// Cable between them and the server that is tested. It speaks in raw frames, as
// firmware does, so that the server is tested with all of its sockets. It needs
// CAP_NET_RAW on the interface that it uses, and root for a Cable.
package dhcptest
