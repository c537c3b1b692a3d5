package installer_test

import (
	"testing"

	"provision.internal/installer"
)

func TestSerialConsole(t *testing.T) {
	for cmdline, want := range map[string]installer.Serial{
		"": {}, "quiet console=tty0": {}, "xconsole=ttyS1": {},
		"console=ttyS0": {TTY: "ttyS0", Unit: "0", Speed: "115200"},
		"console=tty0 console=ttyS1,9600n8 loglevel": {TTY: "ttyS1", Unit: "1", Speed: "9600"},
	} {
		if got := installer.SerialConsole(cmdline); got != want {
			t.Errorf("SerialConsole(%q) = %+v, want %+v", cmdline, got, want)
		}
	}
}
