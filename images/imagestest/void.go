package imagestest

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"provision.internal/images/release"
	"provision.internal/images/release/releasetest"
	"provision.internal/xbps"
)

// Void serves a mirror. Its folder is laid out as Void's is.
type Void struct {
	*httptest.Server
	Dir        string // the mirror's root
	Keys       string // folder with the key of its packages
	Release    string
	ReleaseKey string

	mu    sync.Mutex
	down  bool
	asked []string
}

// Signer is the key of the stand-in's packages, one for a test run.
var Signer = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// NewVoid makes and serves a mirror for architectures, as XBPS calls them.
func NewVoid(t testing.TB, arches ...string) *Void {
	t.Helper()
	v := &Void{Dir: t.TempDir(), Keys: t.TempDir(), Release: "20260901"}
	tarballs := map[string][]byte{}
	for _, arch := range arches {
		v.repositories(t, arch)
		name, err := release.Rootfs(v.Release, arch)
		if err != nil {
			t.Fatal(err)
		}
		tarballs[name] = Rootfs(t, arch)
	}
	key := releasetest.NewKey(1)
	v.ReleaseKey = key.Public
	live := releasetest.NewServer(key, v.Release, tarballs)
	t.Cleanup(live.Close)
	mux := http.NewServeMux()
	mux.Handle("/live/", live.Config.Handler)
	mux.Handle("/", http.FileServer(http.Dir(v.Dir)))
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		down := v.down
		v.asked = append(v.asked, path.Base(r.URL.Path))
		v.mu.Unlock()
		if down {
			http.Error(w, "not now", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(v.Server.Close)
	return v
}

// Down makes every further request fail, or none any more.
func (v *Void) Down(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}

// Asked returns the names of the files that have been asked for since the last
// call.
func (v *Void) Asked() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := v.asked
	v.asked = nil
	return asked
}

// repositories builds the main one, with a kernel, tools and what every role needs,
// and a nonfree one.
func (v *Void) repositories(t testing.TB, arch string) {
	t.Helper()
	image := "vmlinuz"
	if strings.HasPrefix(arch, "aarch64") {
		image = "vmlinux"
	}
	spec := func(pkgver, arch string, files []xbps.File, depends ...string) xbps.Spec {
		return xbps.Spec{Package: xbps.Package{Pkgver: pkgver, Arch: arch, Desc: "stand-in", Depends: depends}, Files: files}
	}
	tool := func(name string) []xbps.File {
		return []xbps.File{xbps.Regular("usr/bin/"+name, 0o755, []byte(name+" for "+arch))}
	}
	contents := [][]xbps.Spec{{
		spec("linux-6.12_1", arch, nil, "linux6.12>=6.12.1_1", "linux-base>=0"),
		spec("linux6.12-"+KernelRelease, arch, KernelFiles("usr/lib", image)),
		spec("linux-base-2025.1_1", arch, nil, "linux-firmware-network>=0"),
		spec("linux-firmware-network-2025_1", arch, []xbps.File{xbps.Regular("usr/lib/firmware/rtl_nic/x.fw", 0o644, []byte("firmware"))}),
		spec("mdadm-4.3_1", arch, tool("mdadm"), "libc>=0"),
		spec("cryptsetup-2.7_1", arch, tool("cryptsetup"), "libc>=0"),
		spec("libc-2.41_1", arch, []xbps.File{xbps.Regular("usr/lib/libc.so.6", 0o755, []byte("libc"))}),
		spec("base-system-0.114_1", arch, nil, "libc>=0"),
		spec("grub-2.12_1", arch, tool("grub-install")),
		spec("grub-x86_64-efi-2.12_1", arch, nil, "grub>=0"),
		spec("grub-arm64-efi-2.12_1", arch, nil, "grub>=0"),
	}, {
		spec("nomad-1.9.3_1", arch, tool("nomad"), "cni-plugins>=0"),
		spec("cni-plugins-1.5_1", arch, tool("bridge")),
	}}
	for i, folder := range xbps.Folders(arch) {
		dir := filepath.Join(v.Dir, folder)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		b := &xbps.Builder{Dir: dir, Arch: arch, Key: Signer(), SignedBy: "a test"}
		for _, s := range contents[i] {
			if _, err := b.Add(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Finish(); err != nil {
			t.Fatal(err)
		}
		name, content, err := b.PublicKey().Marshal()
		if err == nil {
			err = os.WriteFile(filepath.Join(v.Keys, name), content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Rootfs is a ROOTFS tarball, in xz as Void's are.
func Rootfs(t testing.TB, arch string) []byte {
	t.Helper()
	type installed struct {
		xbps.Package
		State string `plist:"state"`
	}
	database, err := xbps.MarshalPlist(map[string]installed{"libc": {xbps.Package{Pkgver: "libc-2.41_1", Arch: arch}, "installed"}})
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct{ name, link, body string }{
		{"./", "", ""}, {"./usr/", "", ""}, {"./usr/bin/", "", ""}, {"./usr/lib/", "", ""},
		{"./bin", "usr/bin", ""}, {"./lib", "usr/lib", ""},
		{"./usr/bin/sfdisk", "", "sfdisk for " + arch},
		{"./usr/share/man/man8/sfdisk.8", "", "a manual"},
		{"./" + xbps.DatabaseFile, "", string(database)},
	} {
		h := &tar.Header{Name: f.name, Mode: 0o755, Linkname: f.link, Size: int64(len(f.body)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag = tar.TypeDir
		case f.link != "":
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return squeeze(buf.Bytes())
}
