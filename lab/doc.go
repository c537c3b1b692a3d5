// Package lab is a virtual rack: a network namespace with a bridge, machines
// under QEMU with real firmware and empty disks, a stand-in for Void's
// repositories made from Debian's packages, and the appliance with a simulated
// Nomad beside them.
//
// It supplies inputs and watches: what is installed, and how, is the business of
// the appliance alone. A rack is a folder; everything in it that runs is
// recorded there, so that another process can go on with it or take it down.
package lab
