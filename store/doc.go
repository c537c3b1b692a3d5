// Package store keeps what the appliance must not forget: hosts, events and
// standing admissions in provision.db (bbolt), leases in leases.log, and the
// grants that were used in grants.log. Every host is held decoded in memory, so reading one costs no
// input or output; every change is on the disk before the call returns.
//
// The store owns three rules. A host changes its state by the transition table
// of package host only, and each change is an event. Event IDs ascend from 1
// without gaps. A grant is used once: not after a crash, not by two claims at
// the same time, and not after a backup was put back (see grants.go).
//
// One process owns the state folder at a time.
package store
