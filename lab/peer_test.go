package lab

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/xbps"
)

// Real XBPS installs everything that the rack's repositories have into one system, finds every
// file as it should be, and configures it all once more. A rack with LAB_XBPS shows
// the same, minutes later.
func TestRealXBPSInstallsEverything(t *testing.T) {
	dir := os.Getenv("LAB_XBPS")
	if dir == "" {
		t.Skip("LAB_XBPS does not name an installed XBPS tree")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: XBPS changes into the new system for its scripts")
	}
	in := testInputs(t)
	server := httptest.NewServer(&Upstream{Dir: in.Void()})
	defer server.Close()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "var/db/xbps/keys"), os.DirFS(filepath.Join(in.Dir, "keys"))); err != nil {
		t.Fatal(err)
	}
	install := []string{"xbps-install", "-Sy", "-i", "-r", root}
	var names []string
	for _, part := range []string{mainPart, nonfreePart} {
		f, err := os.Open(filepath.Join(in.Void(), part, xbps.IndexName("x86_64")))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		x, err := xbps.ReadIndex(f)
		if err != nil {
			t.Fatal(err)
		}
		install = append(install, "-R", server.URL+"/"+part)
		names = append(names, x.Names()...)
	}
	check := []string{"xbps-pkgdb", "-r", root}
	for _, name := range names {
		if !strings.HasPrefix(name, "linux") { // whose initramfs is another after its configuration
			check = append(check, name)
		}
	}
	for _, argv := range [][]string{append(install, names...), {"xbps-reconfigure", "-r", root, "-fa"}, check} {
		cmd := exec.Command(filepath.Join(dir, "usr/bin", argv[0]), argv[1:]...)
		cmd.Env = append(os.Environ(), "XBPS_ARCH=x86_64", "LC_ALL=C", "LD_LIBRARY_PATH="+filepath.Join(dir, "usr/lib"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", argv[0], err, out)
		}
	}
}
