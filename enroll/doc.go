// Package enroll moves hosts from Booted to Ready: it waits until the cluster
// calls a host's node ready, runs the configuration job on exactly that node, and
// believes its result only. It also fails every host that has outstayed its
// state's deadline, whatever the state.
//
// It remembers nothing: what is to be done follows from the store alone, which
// is reread whenever it changes and at each tick. An appliance that is killed
// goes on where the store says.
package enroll
