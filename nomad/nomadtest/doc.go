// Package nomadtest is a Nomad cluster in one process, for tests and for the
// lab. A Server speaks the HTTP API of a real one as far as the appliance uses
// it: statuses, headers, error texts, indexes, blocking queries and the event
// stream are those that a real cluster was seen to give. A Client is a machine
// in it. Faults that a real cluster shows only rarely can be switched on.
//
// It schedules, but it is no scheduler: jobs of every type are placed by their
// constraints, datacenters, node pool and drivers alone, resources are endless,
// and tasks are never restarted. Clients join over HTTP below SimPath instead
// of RPC. There is no consensus: several Members are names of one process.
// Variables have no locks. With Dir the state outlives the process.
package nomadtest
