package xbps_test

import (
	"strings"
	"testing"

	"provision.internal/xbps"
)

// As xbps-install 0.60 writes it, shortened.
const database = `<dict>
	<key>_XBPS_ALTERNATIVES_</key>
	<dict><key>vi</key><array><string>nvi</string></array></dict>
	<key>half</key>
	<dict><key>pkgver</key><string>half-1_1</string><key>architecture</key><string>x86_64</string><key>state</key><string>half-unpacked</string></dict>
	<key>nvi</key>
	<dict>
		<key>alternatives</key><dict><key>vi</key><array><string>vi:/usr/bin/nvi</string></array></dict>
		<key>architecture</key><string>x86_64</string>
		<key>automatic-install</key><true/>
		<key>install-date</key><string>2025-02-02 20:07 UTC</string>
		<key>installed_size</key><integer>1234</integer>
		<key>pkgver</key><string>nvi-1.81.6_20</string>
		<key>provides</key><array><string>vi-0_1</string></array>
		<key>run_depends</key><array><string>glibc&gt;=2.36_1</string></array>
		<key>state</key><string>installed</string>
	</dict>
</dict>`

func TestReadInstalled(t *testing.T) {
	got, err := xbps.ReadInstalled(strings.NewReader(plist(database)))
	if err != nil || len(got) != 1 || got[0].Pkgver != "nvi-1.81.6_20" || got[0].Depends[0] != "glibc>=2.36_1" || got[0].Provides[0] != "vi-0_1" {
		t.Errorf("%+v, %v; want nvi alone", got, err)
	}
	for name, text := range map[string]string{
		"no list":          "x",
		"another name":     plist(strings.Replace(database, "<key>nvi</key>\n", "<key>vim</key>\n", 1)),
		"no version":       plist(strings.Replace(database, "nvi-1.81.6_20", "nvi", 1)),
		"a path in a name": plist(strings.ReplaceAll(database, "nvi", "../nvi")),
	} {
		if got, err := xbps.ReadInstalled(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "package database") {
			t.Errorf("%s: %v, %v; want an error", name, got, err)
		}
	}
}

func FuzzReadInstalled(f *testing.F) {
	f.Add(plist(database))
	f.Add(plist("<dict/>"))
	f.Fuzz(func(t *testing.T, text string) {
		all, err := xbps.ReadInstalled(strings.NewReader(text))
		for _, p := range all {
			if err != nil || p.Name() == "" || strings.Contains(p.File(), "/") {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}
