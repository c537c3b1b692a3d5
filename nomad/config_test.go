package nomad

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/text/unicode/norm"

	"provision.internal/golden"
	"provision.internal/nomad/nomadtest"
)

func TestClientConfigGolden(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Datacenter: "MATRIX", Servers: []string{"10.0.0.2:4647", "10.0.0.3:4647"}, CA: ca, Pool: "metal", Docker: true}
	files, err := cfg.ClientConfig(Client{
		Name: "host1", Token: "eyJ.e30.x", Meta: map[string]string{"rack": "r1", "note": `a "quoted" \ word`},
		Network:     netip.MustParsePrefix("10.0.0.0/24"),
		Certificate: ConfigDir + "/tls/host.pem", Key: ConfigDir + "/tls/host.key",
	})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path+" "+f.Mode.String())
		if f.Path == ConfigDir+"/client.hcl" {
			golden.Check(t, "client.hcl", f.Content)
		}
	}
	want := []string{
		"/etc/nomad.d/tls/ca.pem -rw-r--r--", "/etc/nomad.d/client.hcl -rw-r-----",
		"/var/lib/nomad/client/intro_token.jwt -rw-------",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("files %q, want %q", paths, want)
	}
}

func TestClientConfigRefuses(t *testing.T) {
	cfg := Config{Servers: []string{"10.0.0.2:4647"}}
	for _, h := range []Client{
		{Name: "${attr.x}"}, {Name: "a\nb"}, {Name: "h", Meta: map[string]string{"k": "%{ if true }"}},
		{Name: "h", Meta: map[string]string{"k\x00": ""}}, {Name: "h", Pool: "\xff"},
	} {
		if _, err := cfg.ClientConfig(h); err == nil {
			t.Errorf("ClientConfig(%+v) succeeded, want a refusal", h)
		}
	}
	if _, err := (Config{}).ClientConfig(Client{Name: "h"}); err == nil {
		t.Error("ClientConfig without servers succeeded")
	}
}

func TestJobGolden(t *testing.T) {
	tmpl, err := loadTemplate("")
	if err != nil {
		t.Fatal(err)
	}
	got, err := render(tmpl, Job{
		Host: "host1", Role: "worker", Attempt: "g1-1795361300", Meta: map[string]string{"COMMIT": "deadbeef", "site.name": `"${x}"`},
	}, Node{ID: "7a780c47-390f-e4db-6dd9-10096b4b2ac9", Name: "host1"})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "job.hcl", got)

	job, err := nomadtest.Parse(got)
	if err != nil {
		t.Fatalf("the rendered job does not parse: %v", err)
	}
	if got := job.Meta["site.name"]; got != `"${x}"` {
		t.Errorf("meta came out as %q, want %q", got, `"${x}"`)
	}
	if len(job.Constraints) != 1 || job.Constraints[0].LTarget != "${node.unique.id}" {
		t.Errorf("constraints %+v, want one on ${node.unique.id}", job.Constraints)
	}
}

func TestTemplateFaults(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":        {"{{ .Node", "unclosed action"},
		"unknown field": {"{{ .Hots }}", "Hots"},
		"unknown func":  {"{{ shell .Host }}", `"shell" not defined`},
	} {
		file := filepath.Join(t.TempDir(), "job.hcl")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadTemplate(file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: loadTemplate = %v, want an error with %q", name, err, test.want)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	open := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(open, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := Config{
		Address: "10.0.0.2", CA: "/nonexistent/ca.pem", Cert: t.TempDir(), TokenFile: open,
		Servers: []string{"10.0.0.2:4647", "10.0.0.3", ":4647", "h:0"}, Job: "/nonexistent/job",
	}.Validate("nomad")
	if err == nil {
		t.Fatal("Validate found nothing")
	}
	var keys []string
	for line := range strings.Lines(err.Error()) {
		key, _, _ := strings.Cut(line, ":")
		keys = append(keys, key)
	}
	want := []string{
		"nomad.address", "nomad.ca", "nomad.cert", "nomad.token_file", "nomad.cert",
		"nomad.servers[1]", "nomad.servers[2]", "nomad.servers[3]", "nomad.job",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("faults at %q, want %q:\n%v", keys, want, err)
	}
	for _, bad := range []Config{{}, {Address: "http://h:4646", CA: open}} {
		if err := bad.Validate("nomad"); err == nil || !strings.Contains(err.Error(), "nomad.address") {
			t.Errorf("Validate(%+v) = %v, want a fault at nomad.address", bad, err)
		}
	}
	if err := (Config{Address: "http://10.0.0.2:4646", Servers: []string{"10.0.0.2:4647"}}).Validate("nomad"); err != nil {
		t.Errorf("Validate of a good configuration: %v", err)
	}
}

// Whatever goes through quote comes out of a real HCL parser as it went in,
// normalised as HCL normalises every string.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "host1", `"`, `\`, "${node.unique.id}", "%{ if x }", "$${", "\n", "é\u202e", "\x00", "$", "%%{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.ToValidUTF8(s, "�")
		expr, diags := hclsyntax.ParseExpression([]byte(Quote(s)), "q", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("Quote(%q) = %s does not parse: %v", s, Quote(s), diags)
		}
		v, diags := expr.Value(nil)
		if diags.HasErrors() {
			t.Fatalf("Quote(%q) = %s does not evaluate: %v", s, Quote(s), diags)
		}
		if got := v.AsString(); got != norm.NFC.String(want) {
			t.Fatalf("Quote(%q) means %q", s, got)
		}
	})
}
