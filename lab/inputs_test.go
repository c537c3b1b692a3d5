package lab

import (
	"os"
	"testing"
)

func TestScratchInputs(t *testing.T) {
	x := "/tmp/labx/root/bin/busybox"
	in, err := MakeInputs(t.Context(), "/tmp/labx/in", Sources{XBPS: x, Nomad: x}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(in, os.Getpid())
}
