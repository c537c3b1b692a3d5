// Package e2e runs whole journeys: blank machines with real firmware, the built
// programs, and the operators' command line, in virtual racks. It holds tests
// only. They skip, and say why, where there is no root or no QEMU.
package e2e
