// Nomad stands in for the Nomad agent on the lab's machines, where the real one
// may not be had. It reads the configuration that the appliance writes, joins
// the cluster that nomadtest simulates, and runs raw_exec tasks for real.
//
//	nomad agent -config /etc/nomad.d
//
// The simulated cluster has no RPC. Its HTTP port is taken to be one below each
// server's RPC port, as in Nomad's own numbering (4646 and 4647).
package main
