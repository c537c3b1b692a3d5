package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"provision.internal/xbps"
)

// both runs a test with the stand-in and, where LAB_XBPS names one, with the real XBPS: call
// runs a program and returns its exit code and what it said is wrong.
func both(t *testing.T, test func(t *testing.T, call func(program string, args ...string) (code int, said string))) {
	t.Run("stand-in", func(t *testing.T) {
		test(t, func(program string, args ...string) (int, string) {
			err := run(t.Context(), program, args)
			var coded *codedError
			switch {
			case err == nil:
				return 0, ""
			case errors.As(err, &coded):
				return int(coded.errno), err.Error()
			}
			return 1, err.Error()
		})
	})
	t.Run("real", func(t *testing.T) {
		test(t, func(program string, args ...string) (int, string) {
			cmd := exec.Command(realProgram(t, program), args...)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			return cmd.ProcessState.ExitCode(), string(out)
		})
	})
}

// realProgram is a program of the XBPS tree that LAB_XBPS names.
func realProgram(t *testing.T, program string) string {
	t.Helper()
	dir := os.Getenv("LAB_XBPS")
	if dir == "" {
		t.Skip("LAB_XBPS does not name an installed XBPS tree")
	}
	for _, bin := range []string{"usr/bin", "bin"} {
		if file := filepath.Join(dir, bin, program); exists(file) {
			return file
		}
	}
	t.Fatalf("%s has neither usr/bin/%s nor bin/%[2]s", dir, program)
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// A package whose script failed counts as installed: the next run configures it only for a
// package that depends on it, and xbps-reconfigure always does.
func TestInstallGoesOn(t *testing.T) {
	both(t, func(t *testing.T, call func(string, ...string) (int, string)) {
		dir, root := repo(t,
			xbps.Spec{Package: xbps.Package{Pkgver: "foo-2.0_1"}, Install: "#!/bin/sh\necho \"$1\" >>log\n[ $1 != post ] || [ -e allowed ]\n"},
			xbps.Spec{Package: xbps.Package{Pkgver: "needs-1.0_1", Depends: []string{"foo>=0"}}},
		)
		server := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer server.Close()
		install := func(name string) (int, string) {
			return call("xbps-install", "-Sy", "-i", "-R", server.URL, "-r", root, name)
		}
		if code, said := install("foo"); code == 0 || !strings.Contains(said, "foo-2.0_1") || !strings.Contains(said, "post ACTION") {
			t.Fatalf("exit %d, %s; want the script's failure", code, said)
		}
		if code, said := install("foo"); code != 0 {
			t.Errorf("a second run: exit %d, %s", code, said)
		}
		if code, said := call("xbps-reconfigure", "-a", "-r", root); code == 0 || !strings.Contains(said, "post ACTION") {
			t.Errorf("xbps-reconfigure: exit %d, %s; want the script's failure", code, said)
		}
		write(t, filepath.Join(root, "allowed"), nil)
		if code, said := install("needs"); code != 0 {
			t.Errorf("exit %d, %s", code, said)
		}
		if got := read(t, root, "log"); got != "pre\npost\npost\npre\npost\n" {
			t.Errorf("stages run: %q", got)
		}
	})
}

// One run does not put two packages with a file in common into a system.
func TestInstallRefusesFilesInCommon(t *testing.T) {
	both(t, func(t *testing.T, call func(string, ...string) (int, string)) {
		one := xbps.Spec{
			Package: xbps.Package{Pkgver: "one-1.0_1"},
			Files:   []xbps.File{xbps.Directory("etc", 0o755), xbps.Regular("etc/common", 0o644, []byte("x"))},
		}
		two := one
		two.Pkgver = "two-1.0_1"
		dir, root := repo(t, one, two)
		server := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer server.Close()
		install := func(names ...string) (int, string) {
			return call("xbps-install", append([]string{"-Sy", "-i", "-R", server.URL, "-r", root}, names...)...)
		}
		code, said := install("one", "two")
		if code != int(syscall.EEXIST) || !strings.Contains(said, "two-1.0_1: file `/etc/common' already installed by package one-1.0_1") {
			t.Fatalf("exit %d, %s; want %d", code, said, syscall.EEXIST)
		}
		if code, said := install("two"); code != 0 {
			t.Errorf("a further run, which XBPS allows: exit %d, %s", code, said)
		}
	})
}

// What the repositories lack is told apart from what may work at the next try.
func TestInstallTellsWhatIsMissing(t *testing.T) {
	both(t, func(t *testing.T, call func(string, ...string) (int, string)) {
		dir, root := repo(t, xbps.Spec{Package: xbps.Package{Pkgver: "needs-1.0_1", Depends: []string{"nothing>=2"}}})
		server := httptest.NewServer(http.FileServer(http.Dir(dir)))
		defer server.Close()
		code, said := call("xbps-install", "-Sy", "-i", "-R", server.URL, "-r", root, "needs")
		if code != int(syscall.ENODEV) || !strings.Contains(said, "nothing>=2") || !strings.Contains(said, "Transaction aborted due to unresolved dependencies") {
			t.Errorf("exit %d, %s", code, said)
		}
	})
}

// The real programs understand the database and find every file as it should be.
func TestRealXBPSUnderstandsTheDatabase(t *testing.T) {
	realProgram(t, "xbps-pkgdb")
	all := specs()
	all[0].Files[2] = xbps.Symlink("var/run", "../run") // xbps-pkgdb takes an absolute link as the host's
	dir, root := repo(t, all...)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	if err := run(t.Context(), "xbps-install", []string{"-Sy", "-R", server.URL, "-r", root, "foo"}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"xbps-pkgdb", "-a", "-r", root}, {"xbps-query", "-r", root, "-l"}, {"xbps-query", "-r", root, "-f", "foo"}} {
		out, err := exec.Command(realProgram(t, args[0]), args[1:]...).CombinedOutput()
		t.Logf("%s\n%s", args, out)
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}
