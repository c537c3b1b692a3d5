package daemon

import (
	"strings"
	"testing"

	"provision.internal/images/imagestest"
	"provision.internal/web"
)

func TestCheckUpstream(t *testing.T) {
	v := imagestest.NewVoid(t, "x86_64")
	for _, c := range []struct {
		section string
		down    bool
		running *web.Status
		verdict Verdict
		says    string
	}{
		{"upstream: \"" + v.URL + "\"", false, nil, Good, "is there"},
		{"upstream: \"" + v.URL + "\"", true, nil, Bad, "current/x86_64-repodata answers 502"},
		{"upstream: \"" + v.URL + "\"", true, &web.Status{}, Warning, "answers 502"},
		{"upstream: \"" + v.URL + "\", arch: aarch64", false, nil, Bad, "current/aarch64/aarch64-repodata answers 404"},
		{"upstream: none", true, nil, Good, "provision images import"},
		{"repository: void, keys: keys, rootfs: r", true, nil, "", ""},
	} {
		cfg, err := parse(t, withImages(t, c.section))
		if err != nil {
			t.Fatal(err)
		}
		v.Down(c.down)
		all := checkUpstream(t.Context(), cfg, c.running)
		if c.verdict == "" {
			if len(all) != 0 {
				t.Errorf("%s: %+v, want nothing", c.section, all)
			}
			continue
		}
		if len(all) == 0 || all[0].Verdict != c.verdict || !strings.Contains(all[0].Text, c.says) {
			t.Errorf("%s, down %t: %+v, want %s with %q", c.section, c.down, all, c.verdict, c.says)
		}
	}
}
