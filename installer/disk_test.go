package installer_test

import (
	"errors"
	"strings"
	"testing"

	"provision.internal/host"
	"provision.internal/installer"
)

const gb = 1_000_000_000

var (
	small  = host.Disk{Name: "sda", Serial: "S1", Model: "Samsung SSD 870", Size: 120 * gb, Path: "pci-0000:00:1f.2-ata-1"}
	medium = host.Disk{Name: "nvme0n1", Serial: "N1", WWN: "eui.0025", Model: "WD Black", Size: 500 * gb}
	large  = host.Disk{Name: "sdb", Serial: "L1", Model: "Samsung HDD", Size: 4000 * gb}
	twin   = host.Disk{Name: "sdc", Serial: "L2", Model: "Samsung HDD", Size: 4000 * gb}
	usb    = host.Disk{Name: "sdd", Serial: "U1", Model: "tiny", Size: 8 * gb}
	used   = host.Disk{Name: "sde", Serial: "F1", Size: 60 * gb, Foreign: "LVM2_member on sde2"}
	plain  = host.Disk{Name: "vda", Path: "pci-0000:00:04.0", Size: 10 * gb}
	bare   = host.Disk{Name: "vdb", Size: 10 * gb}
	cloneA = host.Disk{Name: "sdx", Serial: "SAME", Size: 1 * gb}
	cloneB = host.Disk{Name: "sdy", Serial: "SAME", Size: 2 * gb}
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		rule    string
		disks   []host.Disk
		foreign bool
		want    string // name; or, with err, a part of the message
		err     bool
	}{
		{rule: "", disks: []host.Disk{small}, want: "sda"},
		{rule: "", disks: []host.Disk{small, medium}, want: "set its key disk", err: true},
		{rule: "", disks: nil, want: "shows no disk", err: true},
		{rule: "smallest", disks: []host.Disk{large, small, medium}, want: "sda"},
		{rule: "largest", disks: []host.Disk{small, large, medium}, want: "sdb"},
		{rule: "smallest over 100 GB", disks: []host.Disk{usb, small, medium}, want: "sda"},
		{rule: "smallest over 120 GB", disks: []host.Disk{small, medium}, want: "nvme0n1"},
		{rule: "largest under 1 TB", disks: []host.Disk{small, medium, large}, want: "nvme0n1"},
		{rule: "largest over 5TB", disks: []host.Disk{small}, want: "none fits largest over 5.0 TB", err: true},
		{rule: "largest", disks: []host.Disk{large, twin}, want: "several fit largest", err: true},
		{rule: "smallest", disks: []host.Disk{small, large, twin}, want: "sda"},
		{rule: "serial:L2", disks: []host.Disk{large, twin}, want: "sdc"},
		{rule: "serial:nope", disks: []host.Disk{large, twin}, want: `serial "L1"`, err: true},
		{rule: "wwn:eui.0025", disks: []host.Disk{small, medium}, want: "nvme0n1"},
		{rule: "path:pci-0000:00:1f.2-ata-1", disks: []host.Disk{small, medium}, want: "sda"},
		{rule: "model:Samsung SSD*", disks: []host.Disk{small, large}, want: "sda"},
		{rule: "model:Samsung*", disks: []host.Disk{small, large}, want: "several fit", err: true},
		// A disk in use by something else is refused, not passed over: the next one
		// may hold somebody's data too.
		{rule: "smallest", disks: []host.Disk{used, small}, want: "LVM2_member on sde2", err: true},
		{rule: "", disks: []host.Disk{used}, want: "--disk F1", err: true},
		{rule: "serial:F1", disks: []host.Disk{used, small}, want: "LVM2_member", err: true},
		{rule: "serial:F1", disks: []host.Disk{used, small}, foreign: true, want: "sde"},
		// Identity: a path stands for a serial that is missing, nothing for both.
		{rule: "", disks: []host.Disk{plain}, want: "vda"},
		{rule: "serial:pci-0000:00:04.0", disks: []host.Disk{plain, small}, want: "vda"},
		{rule: "", disks: []host.Disk{bare}, want: "no serial, WWN or path", err: true},
		{rule: "smallest", disks: []host.Disk{cloneA, cloneB}, want: "share the serial SAME", err: true},
		{rule: "serial:SAME", disks: []host.Disk{cloneA, cloneB}, want: "several fit", err: true},
	} {
		rule, err := installer.ParseRule(c.rule)
		if err != nil {
			t.Fatalf("ParseRule(%q): %v", c.rule, err)
		}
		got, err := rule.Choose(c.disks, c.foreign)
		switch {
		case !c.err && (err != nil || got.Name != c.want):
			t.Errorf("%q of %d disks = %q, %v; want %q", c.rule, len(c.disks), got.Name, err, c.want)
		case c.err && (!errors.Is(err, installer.ErrDisk) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q of %d disks = %q, %v; want ErrDisk with %q", c.rule, len(c.disks), got.Name, err, c.want)
		}
	}
}

// The message must let a person decide without logging in anywhere.
func TestChooseListsTheDisks(t *testing.T) {
	_, err := installer.Rule{}.Choose([]host.Disk{small, used}, false)
	for _, want := range []string{"sda", "120.0 GB", "Samsung SSD 870", "S1", "sde", "LVM2_member"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not show %q", err, want)
		}
	}
}

func TestParseRuleRefuses(t *testing.T) {
	for _, text := range []string{
		"sda", "/dev/sda", "serial:", "model:[", "smallest than 3 GB", "smallest over", "largest over 0 GB",
		"largest over -1 GB", "smallest over 10", "smallest over 1.5 TB", "smallest largest", "uuid:x", "largest over 99999999999 TB",
	} {
		if r, err := installer.ParseRule(text); err == nil {
			t.Errorf("ParseRule(%q) = %v, want an error", text, r)
		}
	}
}

// Whatever is written into the file: no crash, and a rule that was understood
// chooses at most a disk that exists.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"", "smallest", "largest under 2 TB", "serial:S1", "model:*", "model:[a", "path:pci-0000", "smallest over 100GB", "over"} {
		f.Add(s)
	}
	disks := []host.Disk{small, medium, large, used}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := installer.ParseRule(text)
		if err != nil {
			return
		}
		d, err := r.Choose(disks, false)
		if err == nil && (d.Foreign != "" || d.ID() == "") {
			t.Errorf("%q chose %+v", text, d)
		}
	})
}
