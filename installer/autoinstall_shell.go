package installer

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"provision.internal/host"
)

// Who installs the hosts of a role.
const (
	InstallerAgent = "agent" // ours, the default
	InstallerShell = "shell" // the autoinstaller of a NETBOOT image alone
)

// shellESP is the size of the EFI partition when the role names none: one that
// FAT32 fits in whatever the size of the disk's sectors is.
const shellESP = 512 << 20

const mib = 1 << 20

// shellKinds are the rules by which a shell can choose a disk: what lsblk tells.
var shellKinds = []string{"", "serial", "wwn", "model", "smallest", "largest"}

// validateInstaller adds what upstream's installer cannot do, or must not be
// told: its configuration is public.
func (r Role) validateInstaller(f *faults) {
	switch r.Installer {
	case "", InstallerAgent:
		return
	case InstallerShell:
	default:
		f.add("installer", "%q is neither %s nor %s", r.Installer, InstallerAgent, InstallerShell)
		return
	}
	const cannot = "is more than upstream's installer can do (installer: shell): take it out, or use the agent"
	for _, v := range []struct {
		key  string
		used bool
	}{
		{"mirror", r.Mirror}, {"luks", r.LUKS != nil}, {"root", r.Root != 0}, {"partitions", len(r.Partitions) > 0},
		{"hardware", r.Hardware != Hardware{}}, {"boot", r.Boot == BootDisk}, {"filesystem", r.Filesystem == "btrfs"},
	} {
		if v.used {
			f.add(v.key, cannot)
		}
	}
	if rule, err := ParseRule(r.Disk); err == nil && !slices.Contains(shellKinds, rule.kind) {
		f.add("disk", "%s cannot be found by upstream's installer (installer: shell): name a serial, WWN, model or size", rule)
	}
	if r.Nomad.Config != "" || r.Nomad.Pool != "" || r.Nomad.Datacenter != "" || len(r.Nomad.Meta) > 0 || r.Job != "" {
		f.add("nomad", "is never given to a host that upstream's installer makes (installer: shell): such a host does not enrol by itself")
	}
	if r.Script != "" {
		f.add("script", "would be read by everybody on the network (installer: shell): take it out, or use the agent")
	}
	for i, file := range r.Files {
		if file.Mode != 0 && file.Mode&0o004 == 0 {
			f.add(fmt.Sprintf("files[%d].mode", i), "%#o hides what everybody on the network can read (installer: shell): use the agent", file.Mode)
		}
	}
}

// ShellScript is the configuration by which upstream's autoinstaller installs h
// as r wants it, without the agent. url is that of the host's autoinstall
// requests. The script chooses the disk by r's rule and asks for the grant before it
// writes; nothing in it is secret.
func (r Role) ShellScript(h host.Host, site Site, url string) (string, error) {
	if err := ValidHostname(h.Name); err != nil {
		return "", fmt.Errorf("%w: %w", ErrPlan, err)
	}
	f := &faults{path: "role " + h.Role}
	if r.validateInstaller(f); len(f.all) > 0 {
		return "", fmt.Errorf("%w: %w", ErrPlan, f.all[0])
	}
	if arch, _, _ := strings.Cut(site.Arch, "-"); arch != "x86_64" {
		return "", fmt.Errorf("%w: there is no NETBOOT image for %s", ErrPlan, site.Arch)
	}
	rule, err := ParseRule(r.Disk)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPlan, err)
	}
	foreign := false
	if h.Grant != nil && h.Grant.Disk != "" {
		rule, foreign = Rule{kind: "serial", value: h.Grant.Disk}, h.Grant.Foreign
	}
	cmdline, locale, esp := r.Cmdline, r.Locale, r.ESP
	if cmdline == "" {
		cmdline = defaultCmdline
	}
	if locale == "" {
		locale = "en_US.UTF-8" // upstream's
	}
	if esp == 0 {
		esp = shellESP
	}
	values := map[string][]string{
		"HOSTNAME": {h.Name}, "TIMEZONE": {r.Timezone}, "LOCALE": {locale}, "ARCH": {site.Arch},
		"KIND": {rule.kind}, "VALUE": {rule.shellValue()},
		"OVER": {strconv.FormatUint(rule.over, 10)}, "UNDER": {strconv.FormatUint(rule.under, 10)}, "FOREIGN": {strconv.FormatBool(foreign)},
		"ESP": {megabytes(esp)}, "SWAP": {megabytes(r.Swap)},
		"PACKAGES":     union(union([]string{"base-system"}, r.Tools()), r.Packages),
		"REPOSITORIES": nil,
		"SERVICES":     r.services(),
		"GRUB":         {assignments(GRUBDefaults(cmdline))},
	}
	for _, repository := range site.Repositories {
		values["REPOSITORIES"] = append(values["REPOSITORIES"], "-R", repository)
	}
	if tty := SerialConsole(cmdline).TTY; tty != "" {
		values["SERVICES"] = union(values["SERVICES"], []string{"agetty-" + tty})
	}
	values["FILESYSTEM"], values["MKFS"] = []string{"ext4"}, []string{"mkfs.ext4", "-F", "-q", "-L", "root"}
	if r.Filesystem == "xfs" {
		values["FILESYSTEM"], values["MKFS"] = []string{"xfs"}, []string{"mkfs.xfs", "-f", "-q", "-L", "root"}
	}
	for _, key := range site.Keys {
		values["KEYS"] = append(values["KEYS"], "/var/db/xbps/keys/"+path.Base(key.Path), "0644", key.Content)
	}
	r.shellSystem(h.Name, values)
	return autoinstall(h.Name, url, "shell", values), nil
}

// shellSystem adds what makes the new system this host's.
func (r Role) shellSystem(name string, values map[string][]string) {
	var rc [][2]string
	for _, v := range [][2]string{{"TIMEZONE", r.Timezone}, {"KEYMAP", r.Keymap}} {
		if v[1] != "" {
			rc = append(rc, v)
		}
	}
	values["RCCONF"] = []string{assignments(rc)}
	files := []string{"/etc/hosts", "0644", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t" + name + "\n"}
	if r.Locale != "" {
		files = append(files, "/etc/locale.conf", "0644", "LANG="+Quote(r.Locale)+"\n")
	}
	wheel := false
	var users []string
	for _, u := range r.Users {
		shell := u.Shell
		if shell == "" {
			shell = "/bin/bash"
		}
		users = append(users, u.Name, shell, strings.Join(u.Groups, ","), strings.Join(u.Keys, "\n")+"\n")
		wheel = wheel || slices.Contains(u.Groups, "wheel")
	}
	if wheel { // nobody has a password, so nobody could answer sudo's question for it
		files = append(files, "/etc/sudoers.d/wheel", "0440", "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n")
	}
	for _, file := range r.Files {
		mode := file.Mode
		if mode == 0 {
			mode = 0o644
		}
		files = append(files, file.Path, fmt.Sprintf("%04o", mode), file.Content)
	}
	values["USERS"], values["FILES"] = users, files
}

// assignments are lines that a shell reads.
func assignments(values [][2]string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(v[0] + "=" + Quote(v[1]) + "\n")
	}
	return b.String()
}

// megabytes rounds up, since a partition begins and ends at whole ones.
func megabytes(size uint64) string { return strconv.FormatUint((size+mib-1)/mib, 10) }

// shellValue is what follows the colon of a rule; of a model, the regular
// expression that matches what the pattern does.
func (r Rule) shellValue() string {
	if r.kind != "model" {
		return r.value
	}
	var b strings.Builder
	b.WriteByte('^')
	plain, class := false, false // after a backslash; between brackets
	for _, c := range r.value {
		switch {
		case plain:
			b.WriteString(regexp.QuoteMeta(string(c)))
		case c == '\\':
			plain = true
			continue
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[', class && (c == ']' || c == '^' || c == '-'):
			class = c != ']'
			b.WriteRune(c) // classes are written the same way
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
		plain = false
	}
	b.WriteByte('$')
	return b.String()
}
