package installer

import (
	"cmp"
)

// Distributor is Void's name in GRUB's menu, and of GRUB's folder in an EFI
// partition.
const Distributor = "Void"

// Serial is a serial console.
type Serial struct {
	TTY   string // ttyS0
	Unit  string // 0
	Speed string // 115200
}

var serialWord = Regexp(`(?:^|\s)console=(ttyS(\d+))(?:,(\d+))?`)

// SerialConsole reads the first serial console of a kernel command line. Its zero
// value means that there is none.
func SerialConsole(cmdline string) Serial {
	m := serialWord().FindStringSubmatch(cmdline)
	if m == nil {
		return Serial{}
	}
	return Serial{TTY: m[1], Unit: m[2], Speed: cmp.Or(m[3], "115200")}
}

// GRUBDefaults are the variables of /etc/default/grub, in order, of a system
// whose kernel gets the command line.
func GRUBDefaults(cmdline string) [][2]string {
	values := [][2]string{
		{"GRUB_TIMEOUT", "1"}, // a server that waits for nobody, yet can be interrupted
		{"GRUB_DISTRIBUTOR", Distributor},
		{"GRUB_CMDLINE_LINUX_DEFAULT", cmdline},
	}
	if c := SerialConsole(cmdline); c.TTY != "" {
		values = append(values,
			[2]string{"GRUB_TERMINAL_INPUT", "console serial"},
			[2]string{"GRUB_TERMINAL_OUTPUT", "console serial"},
			[2]string{"GRUB_SERIAL_COMMAND", "serial --unit=" + c.Unit + " --speed=" + c.Speed})
	}
	return values
}
