package ansible

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	"provision.internal/golden"
	"provision.internal/nomad"
)

var jobConfigs = map[string]Config{
	"docker": {
		Image: "registry.example:5000/ansible/ansible", Arguments: []string{"--tags", `a"b`},
		ARA: ARA{Server: "http://ara.example", Plugins: "/ansible/venv/lib/python3.12/site-packages/ara/plugins"},
	},
	"raw_exec": {Driver: RawExec, Directory: "/etc/provision/ansible"},
	"chroot":   {Driver: RawExec, Directory: "/etc/provision/ansible", Root: "/mnt/root of it", Command: "/opt/ansible-playbook"},
}

// rendered is the job of one host, as nomad renders it.
func rendered(t *testing.T, c Config, check bool) string {
	t.Helper()
	tmpl, err := template.New("job").Funcs(template.FuncMap{"quote": nomad.Quote}).Option("missingkey=error").Parse(c.Template())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = tmpl.Execute(&b, struct {
		Job  string
		Node struct{ ID string }
		Host string
		Role string
		Meta map[string]string
		nomad.Play
	}{"provision-node1-a-1", struct{ ID string }{"7a780c47"}, "node1", "worker", map[string]string{"rack": "a1"}, c.play("c1", "base.yml", check)})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJobs(t *testing.T) {
	for name, c := range jobConfigs {
		golden.Check(t, name+".golden", rendered(t, c, false))
		text, err := c.Parameterized()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+"_dispatch.golden", text)
		check := rendered(t, c, true)
		if strings.Replace(check, "          \"--check\",\n", "", 1) != rendered(t, c, false) {
			t.Errorf("%s: a check differs by more than its argument:\n%s", name, check)
		}
	}
	if text, err := (Config{Playbooks: []string{"x.yml"}}).Parameterized(); text != "" || err != nil {
		t.Errorf("without a driver there is a job: %q %v", text, err)
	}
}

// A real Nomad takes the jobs: NOMAD_BIN=FILE.
func TestJobsAreValid(t *testing.T) {
	bin := os.Getenv("NOMAD_BIN")
	if bin == "" {
		t.Skip("NOMAD_BIN names no Nomad binary to ask")
	}
	for name, c := range jobConfigs {
		dispatch, err := c.Parameterized()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{rendered(t, c, true), dispatch} {
			cmd := exec.Command(bin, "job", "validate", "-")
			cmd.Stdin = strings.NewReader(text)
			cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://127.0.0.1:1")
			out, err := cmd.CombinedOutput()
			// Without an agent it checks the text alone, and says so.
			if err != nil || !strings.Contains(string(out), "validation successful") {
				t.Errorf("%s: %v\n%s\n%s", name, err, out, text)
			}
		}
	}
}
