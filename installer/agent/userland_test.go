package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"provision.internal/installer"
)

// archive packs headers, whose Linkname or Name says it all; regular files hold
// their own name. The end of the archive is left out on demand: the appliance
// joins several.
func archive(t *testing.T, end bool, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, h.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	finish := w.Flush
	if end {
		finish = w.Close
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	m := newMachine(t)
	m.put("/init", "the agent")
	m.put("/etc/provision/ca.pem", "ours")
	m.put("/lib/modules/6.1/modules.dep", "old")
	m.put("/lib/modules/6.1/kept.ko", "driver")
	first := archive(t, false,
		tar.Header{Name: "./usr/lib/", Typeflag: tar.TypeDir},
		tar.Header{Name: "./usr/lib/libc.so"},
		tar.Header{Name: "./lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		tar.Header{Name: "./usr/bin/sfdisk", Mode: 0o755},
		tar.Header{Name: "./usr/bin/fdisk", Typeflag: tar.TypeLink, Linkname: "./usr/bin/sfdisk"},
		tar.Header{Name: "./init"},
		tar.Header{Name: "./etc/provision/ca.pem"},
		tar.Header{Name: "./proc/x"},
		tar.Header{Name: "./dev/null", Typeflag: tar.TypeChar},
		tar.Header{Name: "../../../../escaped"},
	)
	second := archive(t, true, tar.Header{Name: "usr/lib/modules/6.1/modules.dep", Mode: 0o644}, tar.Header{Name: "usr/bin/sfdisk", Mode: 0o700})
	if err := unpack(io.MultiReader(bytes.NewReader(first), bytes.NewReader(second)), m.root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/usr/lib/libc.so":             "./usr/lib/libc.so",
		"/lib/libc.so":                 "./usr/lib/libc.so",
		"/lib/modules/6.1/kept.ko":     "driver", // what the initrd had moved along
		"/lib/modules/6.1/modules.dep": "usr/lib/modules/6.1/modules.dep",
		"/init":                        "the agent",
		"/etc/provision/ca.pem":        "ours",
		"/proc/x":                      "",
		"/escaped":                     "../../../../escaped", // inside of the root
		"/usr/bin/sfdisk":              "usr/bin/sfdisk",
		"/usr/bin/fdisk":               "./usr/bin/sfdisk",
	} {
		if got := m.get(name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if st, err := os.Stat(filepath.Join(m.root, "usr/bin/sfdisk")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("sfdisk is %v, %v", st, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"no zstd":   []byte("PK\x03\x04"),
		"cut short": archive(t, true, tar.Header{Name: "a"})[:20],
		"a link over a directory that cannot be merged": archive(t, true,
			tar.Header{Name: "d/x"}, tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "/elsewhere"}),
	} {
		if err := unpack(bytes.NewReader(b), t.TempDir()); err == nil {
			t.Errorf("%s: unpack succeeded", name)
		}
	}
}

func TestFetchUserland(t *testing.T) {
	content := archive(t, true, tar.Header{Name: "usr/bin/tool"})
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	tampered := bytes.Clone(content)
	tampered[len(tampered)/2] ^= 1
	for _, c := range []struct {
		name  string
		serve []func(http.ResponseWriter) // one a request; the last one stays
		want  string                      // "" means that the tool is there
		tries int
	}{
		{"plain", []func(http.ResponseWriter){send(content)}, "", 1},
		{"after an outage", []func(http.ResponseWriter){status(503), send(content[:10]), hangUp, send(content)}, "", 4},
		{"tampered with", []func(http.ResponseWriter){send(tampered)}, "not what this installer was built with", 1},
		{"too long", []func(http.ResponseWriter){send(append(bytes.Clone(content), 0))}, "bytes, want", 0},
		{"gone", []func(http.ResponseWriter){status(404)}, "404", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.put("/run/x", "")
			tries := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				f := c.serve[min(tries, len(c.serve)-1)]
				tries++
				f(w)
			}))
			defer srv.Close()
			err := m.system().fetchUserland(context.Background(), installer.Userland{URL: srv.URL, SHA256: strings.ToUpper(sum), Size: int64(len(content))}, func(error, time.Duration) {})
			if c.want == "" && (err != nil || m.get("/usr/bin/tool") != "usr/bin/tool") {
				t.Errorf("fetchUserland = %v, and the tool is %q", err, m.get("/usr/bin/tool"))
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || m.get("/usr/bin/tool") != "") {
				t.Errorf("fetchUserland = %v with the tool %q, want %q and no tool", err, m.get("/usr/bin/tool"), c.want)
			}
			if c.tries > 0 && tries != c.tries {
				t.Errorf("%d tries, want %d", tries, c.tries)
			}
			if left := m.get("/run/userland.tar.zst"); left != "" {
				t.Error("the archive was left in memory")
			}
		})
	}
}

func send(b []byte) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if _, err := w.Write(b); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// The tools come before the grant: a download that fails burns nothing.
func TestUserlandComesBeforeTheGrant(t *testing.T) {
	m, a, agent := ready(t)
	m.put("/run/x", "")
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	agent.Userland = &installer.Userland{URL: srv.URL, SHA256: "00", Size: 1}
	if err := agent.Install(context.Background()); err == nil {
		t.Error("Install succeeded without tools")
	}
	if got := strings.Join(a.paths(), " "); got != "hello failed" {
		t.Errorf("requests were %q", got)
	}
	if f := read[installer.Failed](a, "failed"); f[0].Step != "tools" {
		t.Errorf("failed is %+v", f)
	}
}
