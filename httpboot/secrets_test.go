package httpboot

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
)

// Nothing secret may be in what everyone on the network can fetch: not in a
// script, an image, a header or a refusal, in any state of a host.
func TestNothingSecretIsPlain(t *testing.T) {
	r := newRig(t)
	sha := r.Images.(folder).put(t, []byte("kernel"))
	if err := os.WriteFile(filepath.Join(r.Repository, "a.xbps"), []byte("package"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Kit = func(boot.Platform) (Kit, error) { return Kit{Kernel: sha, Initrd: sha, Cmdline: "quiet"}, nil }
	secrets := map[string]string{"claim": secret1, "plan": "base-system", "introduction": "introduction-secret"}
	r.Autoinstall = func(h host.Host) (Autoinstall, error) {
		return Autoinstall{Script: installer.Carrier{Host: h.Name, URL: boot.AutoinstallURL(r.HTTP, h.MAC), Agent: "agent", Overlay: "{}", CA: string(r.Authority.PEM())}.Script()}, nil
	}
	var answers []string
	walk := func(state string) {
		h := r.get(t, mac1)
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if h.Grant != nil {
			secrets["grant"] = h.Grant.ID
		}
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			for _, path := range []string{
				grub1, asUEFI, asBIOS, script1, script1 + "?waited=2", "/nbp/snponly.efi", "/nbp/none", "/", "/void/", "/void/a.xbps", "/void/none",
				"/image/" + sha + "/vmlinuz", "/image/none/x",
				auto1, auto1 + "/take?disk=S1&nonce=" + nonce, auto1 + "/step?step=x&nonce=" + nonce, auto1 + "/done?nonce=" + nonce, auto1 + "/failed?nonce=" + nonce, pathHello, pathGrant, pathReport, pathFinished, pathFailed, pathEnrol, pathStatus,
			} {
				if state == "Installing" && (path == grub1 || path == script1 || path == asUEFI || path == asBIOS || strings.Contains(path, "?")) {
					continue // would fail the install; walked in Failed
				}
				q, err := http.NewRequest(method, r.plain.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Fatal(err)
				}
				var text strings.Builder
				if err := resp.Header.Write(&text); err != nil {
					t.Fatal(err)
				}
				_, body := do(t, q)
				resp.Body.Close()
				answers = append(answers, method+" "+path+" while "+state+": "+text.String()+body)
			}
		}
		for _, d := range digests(string(b)) {
			secrets["digest in "+state+" "+d] = d
		}
	}
	r.Linger = 0
	r.admit(t, mac1, "n1", "S1")
	walk("Admitted")
	session, plan := r.take(t, mac1, secret1)
	secrets["session"], secrets["enrolment"] = session, plan.FirstBoot.Token
	walk("Installing")
	r.post(t, pathFinished, session, installer.Finished{}, nil)
	walk("Installed")
	r.post(t, pathEnrol, "", installer.Enrol{Token: plan.FirstBoot.Token, Host: "n1", Request: request(t, newKey(t), named("n1"))}, nil)
	r.wantState(t, mac1, host.Booted)
	walk("Booted")
	key, err := os.ReadFile(filepath.Join(r.authorityDir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the authority's key"] = strings.Split(string(key), "\n")[1]

	installs := 0
	for _, a := range answers {
		if strings.Contains(a, "vmlinuz provision.mac") || strings.Contains(a, "vmlinuz initrd=") {
			installs++
		}
		for name, secret := range secrets {
			if strings.Contains(a, secret) {
				t.Errorf("the %s is in %s", name, a)
			}
		}
	}
	if installs == 0 {
		t.Error("no install script was among the answers: the walk proves nothing")
	}
}

// digests returns the values of 64 hexadecimal digits in text.
func digests(text string) []string {
	var all []string
	for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '"' }) {
		if len(field) == 64 && strings.Trim(field, "0123456789abcdef") == "" {
			all = append(all, field)
		}
	}
	return all
}
