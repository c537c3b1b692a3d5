// Package nomad is the appliance's view of a Nomad cluster: which nodes are
// ready, what a host needs to join, and the configuration job that runs on
// exactly one of them. It keeps nothing on disk and knows nothing of hosts'
// states: package enroll decides what happens next.
//
// One event stream serves everybody who waits (see Cluster.Run). A listing
// comes before each stream, so that a lost event costs a reconnection and not a
// host.
package nomad
