package httpboot

import (
	"errors"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision.internal/boot"
	"provision.internal/golden"
	"provision.internal/host"
	"provision.internal/installer"
)

const (
	script1 = boot.ScriptPath + "52-54-00-00-00-01"
	asUEFI  = script1 + "?platform=efi&arch=x86_64&uuid=01020304-0506-0708-090a-0b0c0d0e0f10"
	asBIOS  = script1 + "?platform=pcbios&arch=i386&uuid="
	grub1   = boot.GRUBPath + "52-54-00-00-00-01"
)

func TestScripts(t *testing.T) {
	admitted := func(t *testing.T, r *rig) { r.admit(t, mac1, "n1", "") }
	unplaced := func(t *testing.T, r *rig) {
		admitted(t, r)
		r.put(t, mac1, func(h *host.Host) error { h.Grant.Place = true; return nil })
	}
	for _, tt := range []struct {
		name, path, golden string
		set                func(t *testing.T, r *rig)
	}{
		{"an unknown host", script1, "disk.ipxe", nil},
		{"a host that is Seen", script1, "disk.ipxe", func(t *testing.T, r *rig) {
			r.put(t, mac1, func(h *host.Host) (err error) { *h, err = h.Advance(host.Seen, t0); return err })
		}},
		{"an unknown host that may linger", script1, "linger.ipxe", func(t *testing.T, r *rig) { r.Linger = 10 * time.Second }},
		{"one that lingers", script1 + "?waited=8", "linger-last.ipxe", func(t *testing.T, r *rig) { r.Linger = 10 * time.Second }},
		{"one that has lingered", script1 + "?waited=10", "disk.ipxe", func(t *testing.T, r *rig) { r.Linger = 10 * time.Second }},
		{"an admitted host that says nothing of itself", script1, "ask.ipxe", admitted},
		{"one that is told to linger is admitted", script1 + "?waited=4", "ask.ipxe", func(t *testing.T, r *rig) {
			r.Linger = 10 * time.Second
			admitted(t, r)
		}},
		{"an admitted UEFI host", asUEFI, "install.ipxe", admitted},
		{"an admitted BIOS host", asBIOS, "install.ipxe", admitted},
		{"another UUID", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.put(t, mac1, func(h *host.Host) error { h.UUID = uuid2; return nil })
		}},
		{"an admitted host whose images are a NETBOOT tarball's", asUEFI, "netboot.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			kit := r.Kit
			r.Kit = func(p boot.Platform) (Kit, error) {
				k, err := kit(p)
				k.Autoinstall = true
				return k, err
			}
		}},
		{"an unknown platform", script1 + "?platform=efi&arch=riscv64&uuid=", "disk.ipxe", admitted},
		{"an expired grant", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) { admitted(t, r); r.pass(2 * time.Hour) }},
		{"an installed host", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			session, _ := r.take(t, mac1, secret1)
			r.post(t, pathFinished, session, installer.Finished{}, nil)
		}},
		{"no kit for the platform", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Kit = func(boot.Platform) (Kit, error) { return Kit{}, errors.New("no kernel") }
		}},
		{"an installer that is being assembled", asUEFI, "wait.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Kit = func(boot.Platform) (Kit, error) { return Kit{}, ErrAssembling }
		}},
		{"GRUB and an installer that is being assembled", grub1, "wait.grub", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Kit = func(boot.Platform) (Kit, error) { return Kit{}, ErrAssembling }
		}},
		{"a host whose port is to be moved", asUEFI, "port.ipxe", unplaced},
		{"the same, before it says what it is", script1, "port.ipxe", unplaced},
		{"the same with GRUB", grub1, "port.grub", unplaced},
		{"a command line that iPXE would expand", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Kit = func(boot.Platform) (Kit, error) {
				return Kit{Kernel: "a", Initrd: "b", Cmdline: "console=${net0/mac}"}, nil
			}
		}},
		{"a store that cannot be read", asUEFI, "disk.ipxe", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Hosts = brokenHosts{r.Hosts}
		}},
		{"a GRUB that has just come", "/" + boot.GRUBConfig, "first.grub", nil},
		{"an unknown host with GRUB", grub1, "disk.grub", nil},
		{"an admitted host with GRUB", grub1, "install.grub", admitted},
		{"GRUB and a store that cannot be read", grub1, "disk.grub", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Hosts = brokenHosts{r.Hosts}
		}},
		{"GRUB and no kit", grub1, "disk.grub", func(t *testing.T, r *rig) {
			admitted(t, r)
			r.Kit = func(boot.Platform) (Kit, error) { return Kit{}, errors.New("no kernel") }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.set != nil {
				tt.set(t, r)
			}
			status, body := r.fetch(t, tt.path)
			if status != 200 {
				t.Fatalf("GET %s: status %d, want 200", tt.path, status)
			}
			golden.Check(t, tt.golden, body)
		})
	}
}

type brokenHosts struct{ Hosts }

func (brokenHosts) Host(host.MAC) (host.Host, error) {
	return host.Host{}, errors.New("input/output error")
}

// An operator who waits for an install must see why it does not begin.
func TestMissingInstallerIsAnEvent(t *testing.T) {
	for path, fault := range map[string]func(boot.Platform) (Kit, error){
		asUEFI: func(boot.Platform) (Kit, error) { return Kit{}, errors.New("no kernel") },
		grub1:  func(boot.Platform) (Kit, error) { return Kit{Kernel: "a", Initrd: "b", Cmdline: "init=${x}"}, nil },
	} {
		r := newRig(t)
		r.admit(t, mac1, "n1", "")
		r.Kit = fault
		r.fetch(t, path)
		got := r.events(t, mac1, host.KindNotice)
		if len(got) != 1 || !strings.Contains(got[0], "cannot be installed") {
			t.Errorf("GET %s: notices = %q, want one with the reason", path, got)
		}
		r.wantState(t, mac1, host.Admitted)
	}
}

// GRUB's language is not the shell's: GRUB's own parser must accept what we send.
func TestGRUBReadsTheScripts(t *testing.T) {
	check, err := exec.LookPath("grub-script-check")
	if err != nil {
		t.Skip("needs grub-script-check: make deps installs it")
	}
	files, err := filepath.Glob("testdata/*.grub")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, f := range files {
		if out, err := exec.Command(check, f).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", f, err, out)
		}
	}
}

// GRUB looks for its first configuration where it came from, so TFTP has the
// same as HTTP, beside the loaders.
func TestTFTPFiles(t *testing.T) {
	r := newRig(t)
	files, err := r.TFTP()
	if err != nil {
		t.Fatal(err)
	}
	_, overHTTP := r.fetch(t, "/"+boot.GRUBConfig)
	overTFTP, err := fs.ReadFile(files, boot.GRUBConfig)
	if err != nil || string(overTFTP) != string(overHTTP) {
		t.Errorf("TFTP has %q, %v; want %q as over HTTP", overTFTP, err, overHTTP)
	}
	info, err := fs.Stat(files, boot.GRUBConfig)
	if err != nil || info.Size() != int64(len(overTFTP)) || !info.Mode().IsRegular() || info.Name() != "grub.cfg" || !info.ModTime().Equal(t0) {
		t.Errorf("Stat = %v, %v; want a regular file of %d bytes", info, err, len(overTFTP))
	}
	if _, err := fs.Stat(files, "snponly.efi"); err != nil {
		t.Errorf("a loader: %v", err)
	}
	if _, err := fs.Stat(files, "grub/other.cfg"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v, want fs.ErrNotExist", err)
	}
	r.HTTP = "http://${net_default_server}"
	if _, err := r.TFTP(); err == nil {
		t.Error("an address that GRUB would expand was written into its configuration")
	}
}

func TestScriptPathThatIsNoMAC(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{boot.ScriptPath + "x", boot.GRUBPath + "x", boot.ScriptPath + "52-54-00-00-00-01-02-03"} {
		if status, _ := r.fetch(t, path); status != http.StatusBadRequest {
			t.Errorf("GET %s: status %d, want 400", path, status)
		}
	}
}

// A machine whose disk is being written asks for no script: it has rebooted.
func TestScriptInTheMiddleOfAnInstall(t *testing.T) {
	for _, path := range []string{script1, asUEFI, grub1} {
		r := newRig(t)
		r.admit(t, mac1, "n1", "")
		session, _ := r.take(t, mac1, secret1)
		r.post(t, pathReport, session, installer.Report{Sequence: 1, Progress: host.Progress{Step: "partition"}}, nil)
		resp, err := http.Head(r.plain.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		r.wantState(t, mac1, host.Installing) // HEAD asks, it does not boot
		if _, body := r.fetch(t, path); !strings.Contains(body, "from the disk") || strings.Contains(body, "vmlinuz") {
			t.Errorf("GET %s = %s, want the disk", path, body)
		}
		h := r.get(t, mac1)
		if h.State != host.Failed || !strings.Contains(h.Failure.Reason, "at step partition") || h.Session != nil {
			t.Errorf("after GET %s: %s %+v, want Failed at the step, without a session", path, h.State, h.Failure)
		}
		if _, again := r.fetch(t, asUEFI); strings.Contains(again, "vmlinuz") {
			t.Error("a failed host was offered the installer again")
		}
	}
}

func TestAnotherMachineCannotFailAnInstall(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	r.take(t, mac1, secret1)
	r.put(t, mac1, func(h *host.Host) error { h.Address = other; return nil })
	if _, body := r.fetch(t, script1); !strings.Contains(body, "from the disk") {
		t.Errorf("script = %s, want the disk", body)
	}
	r.wantState(t, mac1, host.Installing)
}

func TestWords(t *testing.T) {
	for text, good := range map[string]bool{
		"http://10.0.0.1:8080/image/ab/vmlinuz": true, "console=ttyS0,115200n8": true, "n-1.example": true,
		"": false, "a b": false, "${net0/mac}": false, "a\nboot": false, "a||b": false, "a&&b": false,
		"'x'": false, `"x"`: false, "#x": false, `a\b`: false, "a;b": false, "ä": false, "a\x00": false,
	} {
		if _, err := newWord(text); (err == nil) != good {
			t.Errorf("newWord(%q) = %v, want it accepted: %v", text, err, good)
		}
	}
	if w, err := newWords("  a=1   b=2 "); err != nil || w != "a=1 b=2" {
		t.Errorf("newWords = %q, %v, want single spaces", w, err)
	}
}

// Whatever the templates insert must have gone through newWord, or be a number.
func TestTemplatesGetWordsOnly(t *testing.T) {
	bad := word("${x}\n")
	for name, data := range map[string]any{
		"install.ipxe": installScript{Host: bad}, "ask.ipxe": selfScript{Self: bad},
	} {
		if b, err := render(ipxeScripts, name, data); err != nil || !strings.Contains(string(b), string(bad)) {
			t.Errorf("%s: %v: the test no longer reaches what is inserted", name, err)
		}
	}
	h := host.Host{MAC: mac1, Name: "n1\nsanboot http://evil"}
	if _, err := newInstallScript(h, "http://10.77.0.1", Kit{Kernel: "a", Initrd: "b"}); err == nil {
		t.Error("a name with a line break got into a script")
	}
}

func FuzzScripts(f *testing.F) {
	f.Add("n1", "console=ttyS0", "a")
	f.Add("n1\nboot", "a=${b} || c", "../x")
	f.Add("'; reboot", "#", "\x00")
	f.Fuzz(func(t *testing.T, name, cmdline, hash string) {
		h := host.Host{MAC: mac1, Name: name}
		data, err := newInstallScript(h, "http://10.77.0.1", Kit{Kernel: hash, Initrd: hash, Cmdline: cmdline})
		if err != nil {
			return
		}
		plain, err := newInstallScript(host.Host{MAC: mac1, Name: "n1"}, "http://10.77.0.1", Kit{Kernel: "a", Initrd: "b"})
		if err != nil {
			t.Fatal(err)
		}
		got, err1 := render(ipxeScripts, "install.ipxe", data)
		want, err2 := render(ipxeScripts, "install.ipxe", plain)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, special := range []string{"\n", "$", "|", "&", "#", "'", "\""} {
			if strings.Count(string(got), special) != strings.Count(string(want), special) {
				t.Errorf("%q %q %q brought %q into the script:\n%s", name, cmdline, hash, special, got)
			}
		}
	})
}

func FuzzPlainPaths(f *testing.F) {
	r := newRig(f)
	f.Add("/ipxe/52-54-00-00-00-01?waited=4&platform=efi")
	f.Add("/void/../../etc/passwd")
	f.Add("/void/%2e%2e/%2e%2e/etc/passwd")
	f.Add("/image/aa/../x")
	f.Add("/nbp/sub%2fx")
	handler := r.Plain()
	f.Fuzz(func(t *testing.T, path string) {
		q, err := http.NewRequest(http.MethodGet, "http://a/", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := q.URL.Parse(path)
		if err != nil {
			return
		}
		q.URL, q.RemoteAddr = u, "127.0.0.1:1"
		w := &discard{header: http.Header{}}
		handler.ServeHTTP(w, q)
		if w.status >= 500 {
			t.Errorf("GET %q: status %d", path, w.status)
		}
		if strings.Contains(w.body.String(), "root:") {
			t.Errorf("GET %q left the folders", path)
		}
	})
}
