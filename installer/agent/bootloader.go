package agent

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// bootID is the name of GRUB's directory in the ESP and of the firmware's
// entry: Void's GRUB_DISTRIBUTOR.
const bootID = "Void"

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

type console struct {
	tty   string // ttyS0
	unit  string // 0
	speed string // 115200
}

var serialWord = regexp.MustCompile(`(?:^|\s)console=(ttyS(\d+))(?:,(\d+))?`)

// serialConsole reads the first serial console of a kernel command line.
func serialConsole(cmdline string) console {
	m := serialWord.FindStringSubmatch(cmdline)
	if m == nil {
		return console{}
	}
	return console{tty: m[1], unit: m[2], speed: first(m[3], "115200")}
}

// configureGRUB writes GRUB's defaults. It comes before packages are configured:
// a kernel's package may make the menu too.
func (in *install) configureGRUB() error {
	values := [][2]string{
		{"GRUB_TIMEOUT", "1"}, // a server that waits for nobody, yet can be interrupted
		{"GRUB_DISTRIBUTOR", bootID},
		{"GRUB_CMDLINE_LINUX_DEFAULT", in.plan.Cmdline},
	}
	if c := serialConsole(in.plan.Cmdline); c.tty != "" {
		values = append(values,
			[2]string{"GRUB_TERMINAL_INPUT", "console serial"},
			[2]string{"GRUB_TERMINAL_OUTPUT", "console serial"},
			[2]string{"GRUB_SERIAL_COMMAND", "serial --unit=" + c.unit + " --speed=" + c.speed})
	}
	return in.target.edit("/etc/default/grub", 0o644, func(text string) string {
		for _, v := range values {
			text = assign(text, v[0], v[1])
		}
		return text
	})
}

// menuKernel finds a command of the menu that loads a kernel.
var menuKernel = regexp.MustCompile(`(?m)^\s*linux\s`)

// installBootloader installs GRUB from the new system's own packages and writes
// its menu. Under UEFI it is also put where firmware looks without any entry:
// boards lose their entries.
func (in *install) installBootloader(ctx context.Context) error {
	l := loaderFor(in.plan.Arch, in.uefi)
	args := []string{"grub-install", "--target=" + l.target, "--recheck"}
	if in.uefi {
		args = append(args, "--efi-directory="+espDir, "--bootloader-id="+bootID, "--no-nvram")
	} else {
		args = append(args, in.layout.Disk)
	}
	if err := in.inTarget(ctx, args...); err != nil {
		return err
	}
	if err := in.inTarget(ctx, "grub-mkconfig", "-o", "/boot/grub/grub.cfg"); err != nil {
		return err
	}
	menu, err := in.target.text("/boot/grub/grub.cfg")
	if err != nil {
		return err
	}
	if !menuKernel.MatchString(menu) {
		return final("GRUB's menu has no kernel: is a kernel among the role's packages?")
	}
	if !in.uefi {
		return nil
	}
	installed := path.Join(espDir, "EFI", bootID, l.file)
	b, err := in.target.ReadFile(inside(installed))
	if err != nil {
		return fmt.Errorf("grub-install left no %s: %w", installed, err)
	}
	return in.target.write(path.Join(espDir, "EFI/BOOT", l.removable), 0o644, string(b))
}

var (
	bootEntry = regexp.MustCompile(`^Boot([0-9A-Fa-f]{4})\*?\s+(.*)$`)
	bootOrder = regexp.MustCompile(`^BootOrder:\s*([0-9A-Fa-f,]*)`)
)

// bootEntries is what efibootmgr prints.
type bootEntries struct {
	order   []string
	entries map[string]string // number → the rest of its line
}

func (e *bootEntries) line(s string) {
	if m := bootOrder.FindStringSubmatch(s); m != nil && m[1] != "" {
		e.order = strings.Split(strings.ToUpper(m[1]), ",")
	}
	if m := bootEntry.FindStringSubmatch(s); m != nil {
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

// addBootEntry tells the firmware about the new system: an entry at the end of
// the order, so that the network stays first and the appliance keeps its say,
// and BootNext for the boot that follows. A fault is told and passed over: the
// removable path boots without an entry.
func (in *install) addBootEntry(ctx context.Context) error {
	if !in.uefi {
		return nil
	}
	if err := in.bootEntry(ctx); err != nil {
		in.log.Say("bootentry: %v; the firmware will find the disk by EFI/BOOT", err)
	}
	return ctx.Err()
}

func (in *install) bootEntry(ctx context.Context) error {
	l := loaderFor(in.plan.Arch, in.uefi)
	manage := func(args ...string) (*bootEntries, error) {
		e := &bootEntries{entries: map[string]string{}}
		c := Command{Args: append([]string{"efibootmgr", "--verbose"}, args...), Line: e.line}
		if in.has("efibootmgr") {
			c.Chroot = in.sys.path(targetDir)
		}
		return e, in.command(ctx, c)
	}
	now, err := manage()
	if err != nil {
		return err
	}
	if now.ours(in.layout.espID) == "" {
		now, err = manage("--create-only", "--disk", in.layout.Disk, "--part", "1",
			"--label", bootID, "--loader", `\EFI\`+bootID+`\`+l.file)
		if err != nil {
			return err
		}
	}
	number := now.ours(in.layout.espID)
	if number == "" {
		return fmt.Errorf("efibootmgr shows no entry for the new EFI partition")
	}
	order := now.order[:len(now.order):len(now.order)]
	present := false
	for _, n := range order {
		present = present || n == number
	}
	if !present {
		if _, err := manage("--bootorder", strings.Join(append(order, number), ",")); err != nil {
			return err
		}
	}
	_, err = manage("--bootnext", number)
	return err
}
