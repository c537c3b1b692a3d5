package agent

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"provision.internal/installer"
)

// Only a kernel that was told of an autoinstaller may be installed over.
func TestMayCarry(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro loglevel=4": false,
		"":                                       false,
		"auto root=vai":                          false,
		"provision.mac=52-54-00-12-34-56":        false,
		"quiet xautourl=http://10.0.0.1/ root=x": false,
		"provision.mac=52-54-00-12-34-56 auto autourl=http://10.0.0.1/autoinstall/52-54-00-12-34-56": true,
	} {
		m := newMachine(t)
		m.put("/proc/cmdline", cmdline+"\n")
		if err := mayCarry(m.system()); (err == nil) != want {
			t.Errorf("mayCarry with %q = %v, want it to be allowed: %v", cmdline, err, want)
		}
	}
}

// The image's own network is used as it is; the appliance knows the machine by
// the address that its boot script gave.
func TestCarriedNetwork(t *testing.T) {
	m := newMachine(t)
	m.put("/proc/cmdline", "auto autourl=http://10.0.0.1/x provision.mac=52-54-00-12-34-56\n")
	mac, err := carriedNetwork(context.Background(), m.system(), nil)
	if err != nil || mac != testMAC || len(m.done()) > 0 {
		t.Errorf("carriedNetwork = %v, %v, with effects %q; want %v", mac, err, m.done(), testMAC)
	}
	m.put("/proc/cmdline", "auto autourl=http://10.0.0.1/x\n")
	if _, err := carriedNetwork(context.Background(), m.system(), nil); err == nil || !strings.Contains(err.Error(), "provision.mac=") {
		t.Errorf("without a MAC address: %v", err)
	}
}

// Another's programs are not replaced: the userland gets its own root, and is
// entered whole or not at all.
func TestCarriedUserland(t *testing.T) {
	packed := archive(t, true, tar.Header{Name: "./usr/bin/sfdisk"}, tar.Header{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"})
	served := packed
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(served)))
	}))
	defer srv.Close()
	m := newMachine(t)
	m.put("/usr/bin/sfdisk", "the image's")
	m.put("/run/x", "")
	sys := m.system()
	var entered []string
	sys.Enter = func(root string) error {
		if got := m.get("/provision/usr/bin/sfdisk"); got != "./usr/bin/sfdisk" {
			t.Errorf("at its entry the root holds %q", got)
		}
		entered = append(entered, strings.TrimPrefix(root, m.root))
		return errors.New("injected")
	}
	u := installer.Userland{URL: srv.URL, SHA256: fmt.Sprintf("%x", sha256.Sum256(packed)), Size: int64(len(packed))}
	err := sys.fetchUserland(context.Background(), u, func(error, time.Duration) {})
	if err == nil || !strings.Contains(err.Error(), "injected") || len(entered) != 1 || entered[0] != ownRoot {
		t.Errorf("fetchUserland = %v, entered %q; want the fault of entering %s", err, entered, ownRoot)
	}
	if got := m.get("/usr/bin/sfdisk"); got != "the image's" {
		t.Errorf("the image's program is %q now", got)
	}
	served = append([]byte("x"), packed[1:]...)
	if err := sys.fetchUserland(context.Background(), u, func(error, time.Duration) {}); err == nil || len(entered) != 1 {
		t.Errorf("a wrong archive: %v, entered %q", err, entered)
	}
}

// A disk that only init sees mounted is in use all the same.
func TestInUseByInit(t *testing.T) {
	m := newMachine(t)
	m.addDisk("sda", "DISK1")
	m.put("/proc/1/mounts", "/dev/sda /srv ext4 rw 0 0\n")
	if why := m.system().inUse("sda"); why != "sda is mounted on /srv" {
		t.Errorf("inUse = %q", why)
	}
}

// The new root has the kernel's file systems, and nothing of the old one.
func TestEnterRoot(t *testing.T) {
	const variable = "ENTER_ROOT"
	if dir := os.Getenv(variable); dir != "" { // in a process and with mounts of its own
		if err := enterRoot(dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"/marker", "/proc/self/exe", "/sys/block", "/dev/null", "/run"} {
			if _, err := os.Lstat(name); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the old root shows in the new one: %v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to change the root of a process")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "marker"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEnterRoot$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
