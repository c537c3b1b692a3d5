package xbps_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"provision.internal/xbps"
)

// The real programs run the scripts of our packages at every stage, and make and remove
// the links of their alternatives.
func TestRealXBPSRunsOurScripts(t *testing.T) {
	run := realXBPS(t)
	b := builder(t)
	_, err := b.Add(xbps.Spec{
		Package: xbps.Package{
			Pkgver: "tool-1.0_1", Arch: "noarch", Desc: "a tool",
			Alternatives: map[string][]string{"tool": {"tool:/usr/bin/tool.real"}},
		},
		Install: "#!/bin/sh\necho \"install $1 $2 $3\" >>log\n",
		Remove:  "#!/bin/sh\necho \"remove $1 $2 $3\" >>log\n",
		Files:   []xbps.File{xbps.Regular("usr/bin/tool.real", 0o755, []byte("tool\n")), xbps.Directory("var/lib/tool", 0o700)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(b.Dir)))
	defer server.Close()
	root := t.TempDir()
	seed(t, root, b)
	for _, step := range []struct {
		program string
		args    []string
		log     string // what was added to it
		link    bool   // usr/bin/tool is there
	}{
		{"xbps-install", []string{"-Sy", "-i", "-R", server.URL, "-r", root, "tool"}, "install pre tool 1.0_1\ninstall post tool 1.0_1\n", true},
		{"xbps-reconfigure", []string{"-fa", "-r", root}, "install post tool 1.0_1\n", true},
		{"xbps-pkgdb", []string{"-a", "-r", root}, "", true},
		{"xbps-remove", []string{"-y", "-r", root, "tool"}, "remove pre tool 1.0_1\nremove post tool 1.0_1\nremove purge tool 1.0_1\n", false},
	} {
		log := filepath.Join(root, "log")
		if err := os.RemoveAll(log); err != nil {
			t.Fatal(err)
		}
		if out, code := run(step.program, step.args...); code != 0 {
			t.Fatalf("%s: exit %d\n%s", step.program, code, out)
		}
		got, err := os.ReadFile(log)
		if err != nil && step.log != "" || string(got) != step.log {
			t.Errorf("%s: the scripts wrote %q, %v; want %q", step.program, got, err, step.log)
		}
		body, err := os.ReadFile(filepath.Join(root, "usr/bin/tool"))
		if (err == nil) != step.link || step.link && string(body) != "tool\n" {
			t.Errorf("after %s usr/bin/tool is %q, %v; want it there: %t", step.program, body, err, step.link)
		}
	}
}
