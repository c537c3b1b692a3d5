package ansible

import (
	"cmp"
	"embed"
	"fmt"
	"net/url"
	"path"
	"strings"
	"text/template"

	"provision.internal/nomad"
)

// The jobs: how a host is chosen, and how Ansible is run on it.
//
//go:embed jobs
var jobs embed.FS

// Template is the text of the job that runs one playbook on one host, as
// nomad.Job takes it; empty when the configuration leaves it to the operator's
// own template.
func (c Config) Template() string { return c.job("host.nomad.hcl") }

// Parameterized is the job that people dispatch in Nomad's pages with the meta
// keys COMMIT and ANSIBLE_PLAYBOOK; empty when the configuration has none.
func (c Config) Parameterized() (string, error) {
	text := c.job("dispatch.nomad.hcl")
	if text == "" {
		return "", nil
	}
	t, err := template.New("job").Funcs(template.FuncMap{"quote": nomad.Quote}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("the parameterised job: %w", err)
	}
	var b strings.Builder
	play := c.play("", "", false)
	// Its output is for people.
	delete(play.Env, stdoutCallback)
	if err := t.Execute(&b, play); err != nil {
		return "", fmt.Errorf("the parameterised job: %w", err)
	}
	return b.String(), nil
}

func (c Config) job(name string) string {
	driver := c.DriverName()
	if driver != Docker && driver != RawExec {
		return ""
	}
	var text strings.Builder
	for _, file := range []string{driver + ".hcl", name} {
		b, err := jobs.ReadFile("jobs/" + file)
		if err != nil {
			panic(err) // embedded
		}
		text.Write(b)
	}
	return text.String()
}

const stdoutCallback = "ANSIBLE_STDOUT_CALLBACK"

// play is what the template sees.
func (c Config) play(commit, playbook string, check bool) nomad.Play {
	p := nomad.Play{
		Commit: commit, Playbook: playbook, Check: check,
		Image: c.Image, Command: c.Command, Directory: c.Directory, Root: c.Root, Arguments: c.Arguments,
		Env: map[string]string{
			stdoutCallback:                "ansible.posix.json",
			"ANSIBLE_FORCE_COLOR":         "0",
			"ANSIBLE_RETRY_FILES_ENABLED": "0",
		},
	}
	if c.DriverName() == RawExec {
		p.Command = cmp.Or(p.Command, "ansible-playbook")
	} else {
		p.Command, p.Directory = cmp.Or(p.Command, defaultCommand), c.PathInImage()
	}
	if c.ARA.Server != "" {
		p.Env["ARA_API_CLIENT"] = "http"
		p.Env["ARA_API_SERVER"] = c.ARA.Server
		p.Env["ARA_DEFAULT_LABELS"] = "${NOMAD_JOB_ID}"
		for key, sub := range map[string]string{
			"ANSIBLE_CALLBACK_PLUGINS": "callback", "ANSIBLE_ACTION_PLUGINS": "action", "ANSIBLE_LOOKUP_PLUGINS": "lookup",
		} {
			p.Env[key] = path.Join(c.ARA.Plugins, sub)
		}
	}
	return p
}

// page is where ARA shows the records of a job; empty without ARA.
func (c Config) page(job string) string {
	if c.ARA.Server == "" {
		return ""
	}
	return strings.TrimSuffix(c.ARA.Server, "/") + "/?label=" + url.QueryEscape(job)
}
