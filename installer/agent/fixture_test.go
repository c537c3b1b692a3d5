package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision.internal/host"
	"provision.internal/installer"
)

// machine is a fake one: files of proc, sys and dev in a directory, and a record
// of every effect, in order. A test makes effects fail by their text.
type machine struct {
	t    testing.TB
	root string

	mu      sync.Mutex
	effects []string
	fail    map[string]error // by a part of the effect's text
	outputs map[string][]string
	waited  time.Duration
	hooks   map[string]func() // run before the effect
}

func newMachine(t testing.TB) *machine {
	return &machine{t: t, root: t.TempDir(), fail: map[string]error{}, outputs: map[string][]string{}, hooks: map[string]func(){}}
}

// put writes a file below the root; content may be "" for a mere presence.
func (m *machine) put(name, content string) {
	m.t.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// get reads a file below the root; a missing one is "".
func (m *machine) get(name string) string {
	b, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(b)
}

// addDisk gives the machine an empty disk of 8 GiB.
func (m *machine) addDisk(name, serial string) {
	const size = 8 << 30
	dir := "/sys/block/" + name
	m.put(dir+"/size", fmt.Sprint(size/512))
	m.put(dir+"/queue/logical_block_size", "512")
	if serial != "" {
		m.put(dir+"/device/serial", serial)
	}
	dev := filepath.Join(m.root, "dev", name)
	if err := os.MkdirAll(filepath.Dir(dev), 0o755); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.Create(dev)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		m.t.Fatal(err)
	}
}

// writeAt changes a disk's content.
func (m *machine) writeAt(disk string, at int64, content string) {
	m.t.Helper()
	f, err := os.OpenFile(filepath.Join(m.root, "dev", disk), os.O_WRONLY, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(content), at); err != nil {
		m.t.Fatal(err)
	}
}

// effect records what happens and returns the fault that the test wants.
func (m *machine) effect(text string) error {
	m.mu.Lock()
	m.effects = append(m.effects, text)
	var hook func()
	var fault error
	for part, f := range m.hooks {
		if strings.Contains(text, part) {
			hook = f
		}
	}
	for part, err := range m.fail {
		if strings.Contains(text, part) {
			fault = err
		}
	}
	m.mu.Unlock()
	if hook != nil {
		hook()
	}
	return fault
}

func (m *machine) done() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.effects)
}

// system is the machine as the agent sees it. Time passes only in the record.
func (m *machine) system() *System {
	return &System{
		Root: m.root,
		Run: func(_ context.Context, c Command) error {
			text := strings.ReplaceAll(strings.Join(c.Args, " "), m.root, "")
			if c.Chroot != "" {
				text = "chroot " + text
			}
			err := m.effect(text)
			for part, lines := range m.outputs {
				if strings.Contains(text, part) && c.Line != nil {
					for _, l := range lines {
						c.Line(l)
					}
				}
			}
			if err != nil {
				return &CommandError{Command: c, Err: err, Last: []string{"its last words"}}
			}
			m.pretend(c)
			return nil
		},
		Mount: func(source, target, fstype string, _ uintptr, _ string) error {
			return m.effect("mount " + source + " " + strings.TrimPrefix(target, m.root) + " " + fstype)
		},
		Clock:   func(now time.Time) error { return m.effect("clock " + now.UTC().Format(time.RFC3339)) },
		Unmount: func(target string) error { return m.effect("unmount " + strings.TrimPrefix(target, m.root)) },
		Chown: func(_ *target, name string, uid, gid int) error {
			return m.effect(fmt.Sprintf("chown /%s %d:%d", name, uid, gid))
		},
		Wait: func(ctx context.Context, d time.Duration) error {
			m.mu.Lock()
			m.waited += d
			m.mu.Unlock()
			time.Sleep(time.Millisecond) // lets what is waited for happen
			return context.Cause(ctx)
		},
		Rand: zeros{},
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// pretend does what the real programs leave behind.
func (m *machine) pretend(c Command) {
	switch c.Args[0] {
	case "sfdisk":
		for i := range strings.Count(c.Stdin, "type=") {
			m.put(partitionName(c.Args[len(c.Args)-1], i+1), "")
		}
	case "xbps-install":
		for name, content := range installedFiles {
			m.put(targetDir+name, content)
		}
		if err := os.Chmod(filepath.Join(m.root, targetDir, "usr/bin/xbps-reconfigure"), 0o755); err != nil {
			m.t.Error(err)
		}
	case "grub-install":
		for _, dir := range espDirs {
			if strings.Contains(strings.Join(c.Args, " ")+" ", "="+dir+" ") {
				m.put(targetDir+dir+"/EFI/Void/grubx64.efi", "grub")
				m.put(targetDir+dir+"/EFI/Void/grubaa64.efi", "grub")
			}
		}
	case "grub-mkconfig":
		m.put(targetDir+"/boot/grub/grub.cfg", "menuentry {\n\tlinux /boot/vmlinuz\n}\n")
	}
}

// installedFiles are what base-system and its like place, as far as the agent
// looks at it.
var installedFiles = map[string]string{
	"/etc/passwd":                        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
	"/etc/group":                         "root:x:0:\nwheel:x:4:\nusers:x:1000:\n",
	"/etc/shadow":                        "root:$6$salt$hash:19000:0:99999:7:::\n",
	"/etc/rc.conf":                       "# HARDWARECLOCK=\"UTC\"\n#TIMEZONE=\"Europe/Madrid\"\n#KEYMAP=\"es\"\n",
	"/etc/default/libc-locales":          "#de_DE.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n",
	"/etc/default/grub":                  "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=4\"\n",
	"/etc/sv/dhcpcd/run":                 "",
	"/etc/sv/sshd/run":                   "",
	"/etc/sv/agetty-ttyS0/run":           "",
	"/usr/share/zoneinfo/Europe/Berlin":  "",
	"/usr/bin/xbps-reconfigure":          "",
	"/var/cache/xbps/linux-6_1.xbps":     "big",
	"/etc/motd":                          "the package's\n",
	"/boot/vmlinuz-6.1.0":                "",
	"/usr/lib/grub/x86_64-efi/linux.mod": "",
}

var testMAC = host.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// testPlan is a plan for the disk with the serial.
func testPlan(serial string) installer.Plan {
	return installer.Plan{
		Host:       "node1",
		MAC:        testMAC,
		Disks:      []installer.Disk{{Serial: serial, Size: 8 << 30}},
		Layout:     installer.Layout{Filesystem: "ext4"},
		Repository: []string{"http://10.0.0.1/void/current", "http://10.0.0.1/void/current/nonfree"},
		Arch:       "x86_64",
		Keys:       []installer.File{{Path: "60:ae.plist", Content: "key"}},
		Packages:   []string{"base-system", "grub"},
		Services:   []string{"dhcpcd", "sshd"},
		Users:      []installer.User{{Name: "op", Keys: []string{"ssh-ed25519 AAAA op"}, Groups: []string{"wheel"}}},
		Files:      []installer.File{{Path: "/etc/motd", Content: "ours\n"}, {Path: "/usr/local/bin/x", Mode: 0o755, Content: "#!/bin/sh\n"}},
		Timezone:   "Europe/Berlin",
		Keymap:     "de",
		Locale:     "de_DE.UTF-8",
		Cmdline:    "console=ttyS0,115200 loglevel=4",
		FirstBoot:  installer.FirstBoot{URL: "https://10.0.0.1", HTTP: "http://10.0.0.1", CA: "PEM", Token: "token"},
	}
}

// testInstall is an install of testPlan on m, its lines logged to the test.
func testInstall(t testing.TB, m *machine, plan installer.Plan, uefi bool) (*install, *[]string) {
	self := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(self, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	marks := &[]string{}
	return &install{
		sys: m.system(), log: &Log{Console: t.Output()}, plan: plan, uefi: uefi, self: self,
		mark: func(step string) { *marks = append(*marks, step) },
	}, marks
}

// progressText collects the progress that counts something.
func progressText(to *[]string) func(host.Progress) {
	return func(p host.Progress) {
		if p.Of > 0 {
			*to = append(*to, fmt.Sprintf("%s %d/%d", p.Text, p.Done, p.Of))
		}
	}
}
