// Nomad stands in for the Nomad agent on the lab's machines, where the real one
// may not be had. It reads the configuration that the appliance writes. As a
// client it joins the cluster that nomadtest simulates, and runs raw_exec tasks
// for real. As a server it is that cluster, with its state in the data folder: a
// machine that loses power comes back with its ACLs, nodes and jobs.
//
//	nomad agent -config /etc/nomad.d
//
// The simulated cluster has no RPC. Its HTTP port is taken to be one below each
// server's RPC port, as in Nomad's own numbering (4646 and 4647). With TLS for
// RPC, clients speak HTTPS and must show a certificate of the cluster's authority.
// A cluster has one server: there is no consensus here.
package main
