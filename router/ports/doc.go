// Package ports finds the switch port behind which a machine is, and moves ports
// between VLANs: quarantine, installation, production. When that is due is told
// by the states of hosts, for which package enroll looks.
//
// A port is moved by its pvid alone; RouterOS makes the untagged membership
// follow. Ports whose role is not host are never touched. Moves take turns with
// everything else that changes the router, and each is read back.
package ports
