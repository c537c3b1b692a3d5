package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/golden"
)

// What a person sees of the output of xbps-install 0.60.7, which is another on a
// terminal than into a pipe.
func TestXBPSProgress(t *testing.T) {
	for _, kind := range []string{"pipe", "terminal"} {
		t.Run(kind, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", "xbps-install."+kind))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var told strings.Builder
			w := xbpsWatch{told: func(text string, done, of int64) { fmt.Fprintf(&told, "%2d/%d %s\n", done, of, text) }}
			var last string
			eachLine(f, func(line string) {
				w.line(line)
				last = line
			})
			if w.refused != "" || w.done != 15 || w.of != 15 || !strings.HasPrefix(last, "5 downloaded, 5 installed,") {
				t.Errorf("at the end %d of %d, %q, after %q; want 15 of 15", w.done, w.of, w.refused, last)
			}
			golden.Check(t, "xbps-install."+kind+".progress", told.String())
		})
	}
}

// The step that installs tells it on, and keeps in the log what happened.
func TestPackagesTellTheirProgress(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	m.outputs["xbps-install"] = []string{
		"1 package will be installed:", "linux6.1-6.1.140_1: unpacking ...", "linux6.1-6.1.140_1: configuring ...",
		"linux6.1-6.1.140_1: installed successfully.", "grub-2_1.x86_64.xbps: [2MB 26%] 25KB/s ETA: 00m05s",
	}
	in, _ := testInstall(t, m, testPlan("DISK1"), false)
	var told, kept []string
	in.log.Attach(func(line string) { kept = append(kept, line) }, progressText(&told))
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"unpacking linux6.1-6.1.140_1 0/2", "configuring linux6.1-6.1.140_1 1/2", "installed linux6.1-6.1.140_1 2/2", "fetching grub-2_1: 26% of 2MB 2/2",
	}
	if d := cmp.Diff(want, told); d != "" {
		t.Errorf("progress differs (-want +got):\n%s", d)
	}
	for _, line := range m.outputs["xbps-install"] {
		if is, want := slices.Contains(kept, line), !strings.Contains(line, "ETA"); is != want {
			t.Errorf("the log has %q: %t, want %t", line, is, want)
		}
	}
}

// How far a transfer is would fill the log.
func TestXBPSWatchKeepsWhatMatters(t *testing.T) {
	w := xbpsWatch{told: func(string, int64, int64) {}}
	for line, want := range map[string]bool{
		"big-1.0_1.x86_64.xbps: [38MB 26%] 8425KB/s ETA: 00m05s":              false,
		"[28%] big-1.0_1.x86_64.xbps: [38MB 28%] 8459KB/s ETA: 00m04s":        false,
		"[ 0%] big-1.0_1.x86_64.xbps: [38MB 0%] -- stalled -- ETA: 00m00s":    false,
		"x86_64-repodata: [1546B 100%] 38MB/s ETA: 00m00s":                    false,
		"big-1.0_1.x86_64.xbps.sig2: 256B [avg rate: 5634B/s]":                false,
		"[ 0%] big-1.0_1.x86_64.xbps.sig2: [256B 100%] 5744B/s ETA: 00m00s":   false,
		"big-1.0_1.x86_64.xbps: 38MB [avg rate: 9206KB/s]":                    true,
		"big-1.0_1: unpacking ...":                                            true,
		"2 packages will be downloaded:":                                      true,
		"99999999999999999999 packages will be installed:":                    true,
		"[*] Updating repository `http://10.0.0.1/void/x86_64-repodata' ...":  true,
		"ERROR: [reposync] failed to fetch file: Connection refused":          true,
		"base-files: File `./etc/fstab' exists, installing configuration ...": true,
	} {
		if got := w.line(line); got != want {
			t.Errorf("line(%q) = %t, want %t", line, got, want)
		}
	}
	if w.of != 2 {
		t.Errorf("%d steps are planned, want 2", w.of)
	}
}

// What xbps-install 0.60.7 prints when no repetition can help is not repeated, and
// its own words reach the operator. Anything else is repeated.
func TestXBPSRefusals(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string // "" when the run is repeated
	}{
		{[]string{"ERROR: Package 'nope' not found in repository pool."}, "the repositories lack a package: "},
		{[]string{"MISSING: nothing>=2", "ERROR: Transaction aborted due to unresolved dependencies."}, "the repositories lack what a package depends on: "},
		{[]string{"lib-1.0_1: broken, unresolvable shlib `libnothing.so.1'", "ERROR: Transaction aborted due to unresolved shlibs."}, "the repositories lack a library that a package needs: "},
		{[]string{"CONFLICT: confl-1.0_1 with ok-1.0_1 in transaction (matched by ok>=0)", "ERROR: Transaction aborted due to conflicting packages."}, "two packages of the role exclude each other: "},
		{[]string{"ERROR: Transaction aborted due to insufficient disk space (need 38MB, got 1024KB free)."}, "the disk is too small for the role's packages: "},
		{[]string{
			"share1-1.0_1: collecting files...", "ERROR: share2-1.0_1: file `/usr/share/shared' already installed by package share1-1.0_1.",
			"ERROR: Transaction failed! see above for errors.",
		}, "two packages of the role have a file in common: "},
		{[]string{"ERROR: [reposync] failed to fetch file `http://10.0.0.1/x86_64-repodata': Connection refused"}, ""},
	} {
		m := newMachine(t)
		m.addDisk("vda", "DISK1")
		in, _ := testInstall(t, m, testPlan("DISK1"), false)
		runs := 0
		run := in.sys.Run
		in.sys.Run = func(ctx context.Context, cmd Command) error {
			if cmd.Args[0] != "xbps-install" {
				return run(ctx, cmd)
			}
			runs++
			if runs > 1 {
				return run(ctx, cmd)
			}
			for _, line := range c.lines {
				cmd.Line(line)
			}
			return &CommandError{Command: cmd, Err: errors.New("exit status 19"), Last: c.lines}
		}
		err := in.run(context.Background())
		if c.want == "" {
			if err != nil || runs != 2 {
				t.Errorf("%q: %d runs, %v; want a second one", c.lines, runs, err)
			}
			continue
		}
		if runs != 1 || err == nil || !strings.HasPrefix(err.Error(), "packages: "+c.want) || !strings.Contains(err.Error(), c.lines[0]) {
			t.Errorf("%q: %d runs, %v; want one, and %q", c.lines, runs, err, c.want)
		}
	}
}

// A run does not go on with a part of an index that has changed since.
func TestPackagesAreNotInstalledFromTwoIndexes(t *testing.T) {
	m := newMachine(t)
	m.addDisk("vda", "DISK1")
	in, _ := testInstall(t, m, testPlan("DISK1"), false)
	index, pkg := "/var/db/xbps/http___10_0_0_1_void_current/x86_64-repodata.part", "/var/cache/xbps/linux-6_1.x86_64.xbps.part"
	var kept []string
	runs := 0
	run := in.sys.Run
	in.sys.Run = func(ctx context.Context, c Command) error {
		if c.Args[0] != "xbps-install" {
			return run(ctx, c)
		}
		runs++
		if runs == 1 {
			m.put(targetDir+index, "half")
			m.put(targetDir+pkg, "half")
			return errors.New("Input/output error")
		}
		for _, name := range []string{index, pkg} {
			if _, err := os.Stat(filepath.Join(m.root, targetDir, name)); err == nil {
				kept = append(kept, name)
			}
		}
		return run(ctx, c)
	}
	if err := in.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if runs != 2 || !slices.Equal(kept, []string{pkg}) {
		t.Errorf("%d runs, and the second one found %v; want the package alone", runs, kept)
	}
}

// Nothing that is printed takes the progress beyond its end.
func FuzzXBPSWatch(f *testing.F) {
	for _, kind := range []string{"pipe", "terminal"} {
		b, err := os.ReadFile(filepath.Join("testdata", "xbps-install."+kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("1 package will be configured:\na-1_1: configuring ...\na-1_1: installed successfully.\n")
	f.Add("9999999999 packages will be installed:\n")
	f.Fuzz(func(t *testing.T, s string) {
		w := xbpsWatch{told: func(text string, done, of int64) {
			if text == "" || done < 0 || done > of {
				t.Errorf("told %q %d/%d", text, done, of)
			}
		}}
		for range 2 {
			eachLine(strings.NewReader(s), func(line string) { w.line(line) })
		}
	})
}
