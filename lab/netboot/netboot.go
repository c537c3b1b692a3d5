// Package netboot stands in for the autoinstaller of void-mklive's NETBOOT
// images. Its shell script keeps to what upstream promises to a configuration;
// Machine runs it in a folder, with programs that only note how they were called,
// so that a configuration can be tried in any shell and with any fault. Package
// lab puts the same script into an image that machines of the rack boot.
package netboot

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Autoinstaller is the script that an image's init sources.
//
//go:embed autoinstaller.sh
var Autoinstaller string

// Init is an image's /init; it sources Autoinstaller as /usr/lib/autoinstaller.sh
// and needs busybox as /bin/busybox.
//
//go:embed image.sh
var Init string

// DHClient is an image's /usr/bin/dhclient.
//
//go:embed dhclient.sh
var DHClient string

//go:embed tool.sh
var tool string

//go:embed init.sh
var initScript string

// tools are the programs that a NETBOOT image has and that touch a machine.
var tools = []string{
	"blkid", "chpasswd", "chroot", "dhclient", "lsblk", "mkfs.ext4", "mkfs.vfat", "mkfs.xfs", "mkswap", "mount", "poweroff", "reboot",
	"sfdisk", "sleep", "sync", "udevadm", "umount", "xbps-install", "xbps-query", "xbps-uhelper",
}

// plain are those that only handle text and files, from busybox. An image has
// few: dracut's, and those that upstream adds.
var plain = []string{"cat", "chmod", "cp", "ln", "ls", "mkdir", "mv", "rm", "sed"}

// Machine is a computer in which a NETBOOT image starts. Dir must be set, and be
// empty; the zero values of the others are those of a BIOS without a disk.
type Machine struct {
	Dir     string            // becomes the root
	Shell   string            // of the image: a program of this computer, or busybox
	Cmdline string            // of the kernel
	UEFI    bool              // of the firmware
	Disks   string            // what lsblk -J prints
	Arch    string            // what xbps-uhelper arch prints; x86_64 when empty
	UUID    string            // that the firmware tells
	BootID  string            // of the kernel, another at each start of a real one
	Fail    []string          // patterns of calls that fail: "mkfs.ext4 *"
	Files   map[string]string // further files of the image; one in a bin is a program
}

// End is how a run ended.
type End string

// The ends. Panic is what the kernel does when init ends; WentOn means that the
// image's own start-up went on after the autoinstaller.
const (
	Restarted End = "restarted"
	Panic     End = "kernel panic"
	WentOn    End = "went on"
)

// Run is what a machine did.
type Run struct {
	End     End
	Calls   []string // of programs that touch a machine, in order, with what sfdisk read indented below it
	Console string
}

// ErrNotRoot is wrapped by Start without the right to change a process's root.
var ErrNotRoot = errors.New("needs root to change the root of a process")

// Start starts the image and returns when init has ended.
func (m *Machine) Start(ctx context.Context) (Run, error) {
	if os.Geteuid() != 0 {
		return Run{}, ErrNotRoot
	}
	if err := m.make(); err != nil {
		return Run{}, fmt.Errorf("make the image: %w", err)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "/init")
	cmd.Path, cmd.Err = "/bin/sh", nil // inside
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.Dir, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	if cmd.Process != nil {
		// What it left behind goes with it; usually there is nothing.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if ctx.Err() != nil {
		return Run{Console: console.String()}, fmt.Errorf("init did not end: %w; it said:\n%s", context.Cause(ctx), console.String())
	}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return Run{}, err
	}
	calls, err := os.ReadFile(filepath.Join(m.Dir, "test/calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Run{}, err
	}
	r := Run{End: Panic, Console: console.String()}
	for line := range strings.Lines(string(calls)) {
		r.Calls = append(r.Calls, strings.TrimRight(line, " \n"))
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch last := len(r.Calls) - 1; {
	case ok && status.Signaled():
		r.End = Restarted
	case last >= 0 && strings.HasPrefix(r.Calls[last], "init went on"):
		r.End = WentOn
	}
	return r, nil
}

// File reads a file that the run left; "" when there is none.
func (m *Machine) File(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(m.Dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// Link returns what a symbolic link that the run left leads to.
func (m *Machine) Link(name string) (string, error) { return os.Readlink(filepath.Join(m.Dir, name)) }

func (m *Machine) make() error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w: make deps installs busybox-static", err)
	}
	arch := cmp.Or(m.Arch, "x86_64")
	uuid := cmp.Or(m.UUID, "00000000-0000-0000-0000-000000000000")
	bootID := cmp.Or(m.BootID, "11111111-2222-4333-8444-555555555555")
	files := map[string]string{
		"/autoinstaller.sh": Autoinstaller, "/init": initScript,
		"/proc/cmdline": m.Cmdline + "\n", "/proc/sysrq-trigger": "",
		"/proc/sys/kernel/random/boot_id": bootID + "\n",
		"/sys/class/dmi/id/product_uuid":  uuid + "\n",
		"/dev/null":                       "", "/dev/console": "echo an operator works here >>/test/calls\n",
		"/var/db/xbps/keys/upstream.plist": "upstream's key\n",
		"/test/lsblk.json":                 m.Disks, "/test/arch": arch + "\n",
		"/etc/os-release": "", "/run/x": "",
	}
	if m.UEFI {
		files["/sys/firmware/efi/fw_platform_size"] = "64\n"
	}
	if len(m.Fail) > 0 {
		files["/test/fail"] = strings.Join(m.Fail, "\n") + "\n"
	}
	for _, name := range tools {
		files["/bin/"+name] = tool
	}
	for name, text := range m.Files {
		files[name] = text
	}
	for name, text := range files {
		if err := m.put(name, []byte(text)); err != nil {
			return err
		}
	}
	if err := m.copy(busybox, "/bin/busybox"); err != nil {
		return err
	}
	for _, name := range plain {
		if err := os.Symlink("busybox", filepath.Join(m.Dir, "bin", name)); err != nil {
			return err
		}
	}
	if m.Shell == "" || m.Shell == "busybox" {
		err = os.Symlink("busybox", filepath.Join(m.Dir, "bin/sh"))
	} else {
		err = m.program(m.Shell, "/bin/sh")
	}
	if err != nil {
		return err
	}
	if jq, err := exec.LookPath("jq"); err == nil {
		return m.program(jq, "/bin/jq")
	}
	return nil
}

func (m *Machine) put(name string, text []byte) error {
	mode := os.FileMode(0o644)
	if strings.Contains(name, "/bin/") || name == "/init" {
		mode = 0o755
	}
	file := filepath.Join(m.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, mode)
}

func (m *Machine) copy(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return m.put(to, b)
}

// program copies a program of this computer with the libraries that it needs.
func (m *Machine) program(name, to string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	if err := m.copy(path, to); err != nil {
		return err
	}
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil //nolint:nilerr // static: ldd says so by failing
	}
	for field := range strings.FieldsSeq(string(out)) {
		if !filepath.IsAbs(field) {
			continue
		}
		if err := m.copy(field, field); err != nil {
			return err
		}
		// The loader must be executable.
		if err := os.Chmod(filepath.Join(m.Dir, field), 0o755); err != nil {
			return err
		}
	}
	return nil
}
