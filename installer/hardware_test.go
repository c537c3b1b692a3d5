package installer_test

import (
	"errors"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/installer"
)

// amount reads what a configuration says; a text that is none is a fault of the
// test.
func amount(text string) installer.Amount {
	var a installer.Amount
	if err := a.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return a
}

func TestHardware(t *testing.T) {
	inv := host.Inventory{CPUs: 8, Memory: 15 << 30, Disks: []host.Disk{small, medium}, NICs: []host.NIC{{Name: "eth0"}}}
	for _, c := range []struct {
		want installer.Hardware
		text string // of the error; "" means that it fits
	}{
		{installer.Hardware{}, ""},
		{installer.Hardware{Memory: amount(">= 16GiB"), CPUs: amount(">=8"), Disks: amount("2"), NICs: amount("<= 4")}, ""},
		{installer.Hardware{Memory: amount(">= 18 GiB")}, "15.0 GiB of memory, wanted >= 18 GiB"},
		{installer.Hardware{Memory: amount("<= 8GiB")}, "wanted <= 8GiB"},
		{installer.Hardware{Disks: amount("1"), NICs: amount(">= 2")}, "2 disks, wanted 1; 1 network cards, wanted >= 2"},
		{installer.Hardware{CPUs: amount("0")}, "8 processors, wanted 0"},
	} {
		err := c.want.Check(inv)
		switch {
		case c.text == "" && err != nil:
			t.Errorf("Check(%v) = %v, want nil", c.want, err)
		case c.text != "" && (!errors.Is(err, installer.ErrHardware) || !strings.Contains(err.Error(), c.text)):
			t.Errorf("Check(%v) = %v, want ErrHardware with %q", c.want, err, c.text)
		}
	}
}

func TestAmountRefuses(t *testing.T) {
	for _, text := range []string{"", ">=", "> 2", "-1", "two", ">= 1.5GiB", ">= >= 2", "2 or 3", ">= 16 gigs"} {
		var a installer.Amount
		if err := a.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, a)
		}
	}
}

// Whatever is written: no crash, and an amount that was read says of some number
// that it holds or not, as its operator wants.
func FuzzAmount(f *testing.F) {
	for _, s := range []string{"2", ">= 4", "<= 64GiB", ">=", "", "99999999999999999999", ">= 4294967295 TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var a installer.Amount
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		none := installer.Hardware{CPUs: a}.Check(host.Inventory{}) == nil
		if strings.Contains(text, "<=") && !none {
			t.Errorf("0 is not %q", text)
		}
	})
}
