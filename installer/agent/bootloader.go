package agent

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"provision.internal/installer"
)

// bootID is the name of GRUB's directory in the ESP and of the firmware's
// entry: Void's GRUB_DISTRIBUTOR.
const bootID = installer.Distributor

// loader is what GRUB is called for one kind of firmware.
type loader struct {
	target    string // of grub-install
	file      string // as grub-install names it below EFI/Void
	removable string // as UEFI wants it below EFI/BOOT (UEFI 3.5.1.1)
}

func loaderFor(arch string, uefi bool) loader {
	switch {
	case !uefi:
		return loader{target: "i386-pc"}
	case strings.HasPrefix(arch, "aarch64"):
		return loader{"arm64-efi", "grubaa64.efi", "BOOTAA64.EFI"}
	}
	return loader{"x86_64-efi", "grubx64.efi", "BOOTX64.EFI"}
}

// configureGRUB writes GRUB's defaults. It comes before packages are configured:
// a kernel's package may make the menu too.
func (in *install) configureGRUB() error {
	values := installer.GRUBDefaults(in.plan.Cmdline)
	if words := in.storageWords(); words != "" {
		values = append(values, [2]string{"GRUB_CMDLINE_LINUX", words}) // also of the entries for recovery
	}
	return in.target.edit("/etc/default/grub", 0o644, func(text string) string {
		for _, v := range values {
			text = assign(text, v[0], v[1])
		}
		return text
	})
}

// menuKernel finds a command of the menu that loads a kernel.
var menuKernel = installer.Regexp(`(?m)^\s*linux\s`)

// installBootloader installs GRUB from the new system's own packages, on each
// disk, and writes its menu. Under UEFI it is also put where firmware looks
// without any entry: boards lose their entries.
func (in *install) installBootloader(ctx context.Context) error {
	l := loaderFor(in.plan.Arch, in.uefi)
	for _, d := range in.layout.disks {
		args := []string{"grub-install", "--target=" + l.target, "--recheck"}
		if in.uefi {
			args = append(args, "--efi-directory="+d.espDir, "--bootloader-id="+bootID, "--no-nvram")
		} else {
			args = append(args, d.disk)
		}
		if err := in.inTarget(ctx, args...); err != nil {
			return err
		}
		if !in.uefi {
			continue
		}
		installed := path.Join(d.espDir, "EFI", bootID, l.file)
		b, err := in.target.ReadFile(inside(installed))
		if err != nil {
			return fmt.Errorf("grub-install left no %s: %w", installed, err)
		}
		if err := in.target.write(path.Join(d.espDir, "EFI/BOOT", l.removable), 0o644, string(b)); err != nil {
			return err
		}
	}
	if err := in.inTarget(ctx, "grub-mkconfig", "-o", "/boot/grub/grub.cfg"); err != nil {
		return err
	}
	menu, err := in.target.text("/boot/grub/grub.cfg")
	if err != nil {
		return err
	}
	if !menuKernel().MatchString(menu) {
		return final("GRUB's menu has no kernel: is a kernel among the role's packages?")
	}
	return nil
}

var (
	bootEntry = installer.Regexp(`^Boot([0-9A-Fa-f]{4})\*?\s+(.*)$`)
	bootOrder = installer.Regexp(`^BootOrder:\s*([0-9A-Fa-f,]*)`)
)

// bootEntries is what efibootmgr prints.
type bootEntries struct {
	order   []string
	entries map[string]string // number → the rest of its line
}

func (e *bootEntries) line(s string) {
	if m := bootOrder().FindStringSubmatch(s); m != nil && m[1] != "" {
		e.order = strings.Split(strings.ToUpper(m[1]), ",")
	}
	if m := bootEntry().FindStringSubmatch(s); m != nil {
		e.entries[strings.ToUpper(m[1])] = m[2]
	}
}

// ours returns the number of the entry for the ESP with the PARTUUID.
func (e *bootEntries) ours(esp string) string {
	for number, rest := range e.entries {
		if strings.Contains(strings.ToLower(rest), strings.ToLower(esp)) {
			return number
		}
	}
	return ""
}

// addBootEntry tells the firmware about the new system: an entry for each disk,
// and BootNext for the boot that follows. A fault is told and passed over: the
// removable path boots without an entry.
func (in *install) addBootEntry(ctx context.Context) error {
	if !in.uefi {
		return nil
	}
	if err := in.bootEntries(ctx); err != nil {
		in.log.Say("bootentry: %v; the firmware will find the disk by EFI/BOOT", err)
	}
	return ctx.Err()
}

// manageBoot runs efibootmgr, of the new system where it is, and returns what it
// shows.
func (in *install) manageBoot(ctx context.Context, args ...string) (*bootEntries, error) {
	e := &bootEntries{entries: map[string]string{}}
	c := Command{Args: append([]string{"efibootmgr", "--verbose"}, args...), Line: e.line}
	if in.has("efibootmgr") {
		c.Chroot = in.sys.path(targetDir)
	}
	return e, in.command(ctx, c)
}

func (in *install) bootEntries(ctx context.Context) error {
	l := loaderFor(in.plan.Arch, in.uefi)
	now, err := in.manageBoot(ctx)
	if err != nil {
		return err
	}
	var ours []string
	for i, d := range in.layout.disks {
		if now.ours(d.espID) == "" {
			label := bootID
			if i > 0 {
				label = fmt.Sprintf("%s %d", bootID, i+1)
			}
			now, err = in.manageBoot(ctx, "--create-only", "--disk", d.disk, "--part", "1",
				"--label", label, "--loader", `\EFI\`+bootID+`\`+l.file)
			if err != nil {
				return err
			}
		}
		number := now.ours(d.espID)
		if number == "" {
			return fmt.Errorf("efibootmgr shows no entry for the EFI partition of %s", d.disk)
		}
		ours = append(ours, number)
	}
	if order := arrange(now.order, ours, in.plan.Boot); !slices.Equal(order, now.order) {
		if _, err := in.manageBoot(ctx, "--bootorder", strings.Join(order, ",")); err != nil {
			return err
		}
	}
	_, err = in.manageBoot(ctx, "--bootnext", ours[0])
	return err
}

// arrange returns the boot order with our entries in it: first when the disk is
// to come first; else last, so that the network stays first and the appliance
// keeps its say. When it is gone, or has nothing to say, firmware goes on to the
// next entry, which is the disk.
func arrange(order, ours []string, want installer.BootOrder) []string {
	others := slices.DeleteFunc(slices.Clone(order), func(n string) bool { return slices.Contains(ours, n) })
	if want == installer.BootDisk {
		return append(slices.Clone(ours), others...)
	}
	// An operator may have put entries behind ours: they stay there.
	if len(order)-len(others) == len(ours) && len(others) > 0 && order[0] == others[0] {
		return order
	}
	return append(others, ours...)
}
