package agent

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"provision.internal/installer"
)

// accounts are the lines of the three account files.
type accounts struct{ passwd, group, shadow []string }

const firstUID = 1000

// makeUsers adds accounts that are entered by SSH key only, and locks root. The
// files are written here and not by useradd: it would have to be run, retried
// and understood for each account and group, in whatever version is installed.
func (in *install) makeUsers(context.Context) error {
	var a accounts
	files := []struct {
		name  string
		lines *[]string
		mode  uint32
	}{{"/etc/passwd", &a.passwd, 0o644}, {"/etc/group", &a.group, 0o644}, {"/etc/shadow", &a.shadow, 0o600}}
	for _, f := range files {
		text, err := in.target.text(f.name)
		if err != nil {
			return err
		}
		*f.lines = slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
	}
	if field(a.passwd, "root", 0) == "" {
		return final("the new system has no root in /etc/passwd: is base-files installed?")
	}
	a.lock("root", "!")
	wheel := false
	for _, u := range in.plan.Users {
		if err := a.add(u); err != nil {
			return err
		}
		wheel = wheel || slices.Contains(u.Groups, "wheel")
	}
	for _, f := range files {
		if err := in.target.edit(f.name, 0, func(string) string { return strings.Join(*f.lines, "\n") + "\n" }); err != nil {
			return err
		}
		if f.name == "/etc/shadow" {
			if err := in.target.Chmod(inside(f.name), 0o600); err != nil {
				return err
			}
		}
	}
	for _, u := range in.plan.Users {
		if err := in.placeKeys(u, a); err != nil {
			return err
		}
	}
	if !wheel {
		return nil
	}
	// Nobody has a password, so nobody could answer sudo's question for it.
	return in.target.write("/etc/sudoers.d/wheel", 0o440, "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n")
}

// field returns a field of the line that begins with name, "" when there is none.
func field(lines []string, name string, n int) string {
	for _, l := range lines {
		if f := strings.Split(l, ":"); f[0] == name && len(f) > n {
			return f[n]
		}
	}
	return ""
}

// lock sets what stands for the password: "*" cannot be entered but leaves SSH
// keys in force; sshd without PAM refuses an account with "!".
func (a *accounts) lock(name, mark string) {
	line := name + ":" + mark + "::0:99999:7:::"
	for i, l := range a.shadow {
		if f := strings.Split(l, ":"); f[0] == name && len(f) > 1 {
			f[1] = mark
			a.shadow[i] = strings.Join(f, ":")
			return
		}
	}
	a.shadow = append(a.shadow, line)
}

// add adds u with a group of its own. An account that a package made already
// gets its keys and groups only.
func (a *accounts) add(u installer.User) error {
	if field(a.passwd, u.Name, 0) == "" {
		id := strconv.Itoa(a.free())
		shell := u.Shell
		if shell == "" {
			shell = "/bin/bash"
		}
		a.passwd = append(a.passwd, strings.Join([]string{u.Name, "x", id, id, "", "/home/" + u.Name, shell}, ":"))
		if field(a.group, u.Name, 0) == "" {
			a.group = append(a.group, u.Name+":x:"+id+":")
		}
	}
	a.lock(u.Name, "*")
	for _, g := range u.Groups {
		if err := a.join(u.Name, g); err != nil {
			return err
		}
	}
	return nil
}

// free returns an identifier that neither a user nor a group has.
func (a *accounts) free() int {
	id := firstUID
	taken := func(lines []string) bool {
		return slices.ContainsFunc(lines, func(l string) bool {
			f := strings.Split(l, ":")
			return len(f) > 2 && f[2] == strconv.Itoa(id)
		})
	}
	for taken(a.passwd) || taken(a.group) {
		id++
	}
	return id
}

func (a *accounts) join(user, group string) error {
	for i, l := range a.group {
		f := strings.Split(l, ":")
		if f[0] != group || len(f) < 4 {
			continue
		}
		members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
		if !slices.Contains(members, user) {
			f[3] = strings.Join(append(members, user), ",")
			a.group[i] = strings.Join(f, ":")
		}
		return nil
	}
	return final("user %s: the new system has no group %q: add the package that makes it, or take it out of the role", user, group)
}

// placeKeys writes the account's authorized_keys.
func (in *install) placeKeys(u installer.User, a accounts) error {
	home := field(a.passwd, u.Name, 5)
	uid, err1 := strconv.Atoi(field(a.passwd, u.Name, 2))
	gid, err2 := strconv.Atoi(field(a.passwd, u.Name, 3))
	if home == "" || err1 != nil || err2 != nil {
		return final("the account %s has no home or no number in /etc/passwd", u.Name)
	}
	ssh := path.Join(home, ".ssh")
	keys := path.Join(ssh, "authorized_keys")
	if err := in.target.write(keys, 0o600, strings.Join(u.Keys, "\n")+"\n"); err != nil {
		return err
	}
	for _, dir := range []string{home, ssh} {
		if err := in.target.Chmod(inside(dir), 0o700); err != nil {
			return err
		}
	}
	for _, p := range []string{home, ssh, keys} {
		if err := in.sys.Chown(in.target, inside(p), uid, gid); err != nil {
			return err
		}
	}
	return nil
}
