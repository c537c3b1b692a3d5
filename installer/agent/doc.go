// Package agent turns a blank machine into an installed one, and the installed
// one into an enrolled one. It runs twice: as init of the installer's initrd
// (Init), where it finds the hardware, asks the appliance for the grant and
// carries out its plan; and once as a service of the installed system (Enrol).
//
// Rules that it keeps whatever it is told: nothing is written to a disk before
// the grant was answered; only the disk that the plan names is written; a disk
// that is in use, or that carries a foreign signature which the plan does not
// allow, is refused; whatever stops an install is told to the appliance and to
// the console before the machine reboots.
package agent
