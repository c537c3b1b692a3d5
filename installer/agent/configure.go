package agent

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"provision.internal/installer"
)

// configureSystem writes what makes this system this host's.
func (in *install) configureSystem(context.Context) error {
	name := in.plan.Host
	files := []installer.File{
		{Path: "/etc/hostname", Content: name + "\n"},
		{Path: "/etc/hosts", Content: "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t" + name + "\n"},
		{Path: "/etc/fstab", Content: in.layout.fstab()},
	}
	for _, f := range files {
		if err := in.target.write(f.Path, 0o644, f.Content); err != nil {
			return err
		}
	}
	if err := in.configureStorage(); err != nil {
		return err
	}
	if err := in.setZone(); err != nil {
		return err
	}
	if err := in.setLocale(); err != nil {
		return err
	}
	return in.configureGRUB()
}

// setZone sets time zone and keymap: Void's runit reads them from rc.conf, and
// everything else reads the link.
func (in *install) setZone() error {
	values := map[string]string{"KEYMAP": in.plan.Keymap, "TIMEZONE": in.plan.Timezone}
	err := in.target.edit("/etc/rc.conf", 0o644, func(old string) string {
		for _, key := range []string{"KEYMAP", "TIMEZONE"} {
			if values[key] != "" {
				old = assign(old, key, values[key])
			}
		}
		return old
	})
	if err != nil || in.plan.Timezone == "" {
		return err
	}
	zone := "/usr/share/zoneinfo/" + in.plan.Timezone
	if !in.target.exists(zone) {
		in.log.Say("system: the new system has no time zone %s (is tzdata among its packages?); the clock shows UTC", in.plan.Timezone)
		return nil
	}
	return in.target.link(zone, "/etc/localtime")
}

// setLocale sets the language. With glibc, the locale must also be listed for
// glibc-locales to make it, which it does when it is configured.
func (in *install) setLocale() error {
	locale := in.plan.Locale
	if locale == "" {
		return nil
	}
	if err := in.target.write("/etc/locale.conf", 0o644, "LANG="+installer.Quote(locale)+"\n"); err != nil {
		return err
	}
	const list = "/etc/default/libc-locales"
	if !in.target.exists(list) {
		return nil // musl
	}
	return in.target.edit(list, 0o644, func(old string) string {
		_, charset, ok := strings.Cut(locale, ".")
		if !ok {
			charset = "ISO-8859-1"
		}
		line := locale + " " + charset
		listed := regexp.MustCompile(`(?m)^#?\s*` + regexp.QuoteMeta(locale) + `\s.*$`)
		if listed.MatchString(old) {
			return listed.ReplaceAllLiteralString(old, line)
		}
		return old + line + "\n"
	})
}

// assign sets a variable in a file that sh reads, in place of the first line
// that sets it or has it as a comment, else at the end.
func assign(text, key, value string) string {
	line := key + "=" + installer.Quote(value)
	found := regexp.MustCompile(`(?m)^[ \t]*#?[ \t]*` + regexp.QuoteMeta(key) + `=.*$`)
	// A line in force wins over a comment above it.
	inForce := regexp.MustCompile(`(?m)^[ \t]*` + regexp.QuoteMeta(key) + `=.*$`)
	for _, re := range []*regexp.Regexp{inForce, found} {
		if at := re.FindStringIndex(text); at != nil {
			return text[:at[0]] + line + text[at[1]:]
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n"
}

// placeFiles writes the role's files over what the packages brought.
func (in *install) placeFiles(context.Context) error {
	for _, f := range in.plan.Files {
		if err := in.target.write(f.Path, fileMode(f), f.Content); err != nil {
			return err
		}
	}
	return nil
}

func fileMode(f installer.File) fs.FileMode {
	if mode := fs.FileMode(f.Mode).Perm(); mode != 0 {
		return mode
	}
	return 0o644
}

// scriptTimeout bounds the role's script. It may fetch and build things.
const scriptTimeout = 30 * time.Minute

// runScript runs the role's script in the new system. It lies in the new system's
// /run, which is memory: what a script holds stays nowhere.
func (in *install) runScript(ctx context.Context) error {
	const name = "/run/provision-script"
	text := in.plan.Script
	if !strings.HasPrefix(text, "#!") {
		text = "#!/bin/sh -e\n" + text
	}
	if err := in.target.write(name, 0o700, text); err != nil {
		return err
	}
	err := in.command(ctx, Command{
		Args:    []string{name},
		Chroot:  in.sys.path(targetDir),
		Env:     []string{"PROVISION_HOST=" + in.plan.Host},
		Timeout: scriptTimeout,
	})
	return errors.Join(err, in.target.Remove(inside(name)))
}

// enableServices links the services that runit starts. A name without a service
// is an error of the role: the machine would come up without what was asked for.
func (in *install) enableServices(context.Context) error {
	names := in.plan.Services
	if tty := installer.SerialConsole(in.plan.Cmdline).TTY; tty != "" && in.target.exists(installer.ServiceDir+"/agetty-"+tty) {
		names = append(names[:len(names):len(names)], "agetty-"+tty)
	}
	for _, name := range names {
		if !in.target.exists(installer.ServiceDir + "/" + name) {
			return final("no installed package has the service %q: add its package to the role, or take the service out", name)
		}
		if err := in.target.link(installer.ServiceDir+"/"+name, installer.EnabledDir+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
