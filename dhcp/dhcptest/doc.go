// Package dhcptest plays machines that ask for addresses: one at a time, as
// their firmware would (Segment, Machine), or a whole rack at once (Load). It
// speaks in raw frames, as firmware does, so that the server is tested with all
// of its sockets. It needs CAP_NET_RAW on the interface that it uses.
package dhcptest
