// Package enroll moves hosts from Booted to Ready: it waits until the cluster
// calls a host's node ready, runs the configuration job on exactly that node, and
// believes its result only. It also fails every host that has outstayed its
// state's deadline, whatever the state.
//
// Where a router is configured it also has ports follow their hosts: it looks
// where machines are, moves their ports between quarantine, installation and
// production, and admits machines by their port. Ready is only who works where it
// should.
//
// It remembers nothing: what is to be done follows from the store alone, which
// is reread whenever it changes and at each tick. An appliance that is killed
// goes on where the store says.
package enroll
