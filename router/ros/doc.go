// Package ros speaks RouterOS's binary API over TLS. It knows sentences, rows
// and errors of the protocol, and nothing of what they configure.
//
// The wire is go-routeros's, in synchronous mode only. Between it and the
// router stands a guard, because that package trusts the other side: it reads
// reserved lengths as lengths, makes room for words of any length, waits for
// ever, and takes the bare word of a !fatal for a fault of its own. The guard
// reads whole sentences, refuses what the protocol does not allow or what is
// too much, and hands on only what has passed.
//
// The protocol is described at
// https://help.mikrotik.com/docs/spaces/ROS/pages/47579160/API.
package ros
