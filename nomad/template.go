package nomad

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"text/template"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

//go:embed configure.nomad.hcl
var defaultTemplate string

// jobValues is what a template sees.
type jobValues struct {
	Job  string // the job's ID
	Node struct{ ID, Name string }
	Host string
	Role string
	Meta map[string]string
	Play
}

// Play is what a template sees of the playbook that it is to run: {{.Commit}},
// {{.Playbook}} and the like. All of it is empty for a host that is configured
// without playbooks.
type Play struct {
	Commit   string
	Playbook string
	Check    bool // change nothing, tell what would be changed

	// How Ansible is run: see package ansible.
	Image, Command, Directory, Root string
	Arguments                       []string
	Env                             map[string]string
}

// Quote is what templates call quote: it returns s as an HCL string that means s, whatever it contains.
func Quote(s string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(strings.ToValidUTF8(s, "�"))).Bytes())
}

// loadTemplate reads the template in file, or the embedded one when file is
// empty, and proves that it can be rendered.
func loadTemplate(file string) (*template.Template, error) {
	text := defaultTemplate
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the job template: %w", err)
		}
		text = string(b)
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("job template %s: %w", file, err)
	}
	return t, nil
}

func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("job").Funcs(template.FuncMap{"quote": Quote}).Parse(text)
	if err != nil {
		return nil, err
	}
	// A misspelt field shows only when it is evaluated. A key of .Meta that the
	// role does not set shows at each host's own run.
	some := map[string]string{"key": "value"}
	sample := jobValues{Meta: some, Play: Play{Arguments: []string{"-v"}, Env: some}}
	if err := t.Option("missingkey=zero").Execute(io.Discard, sample); err != nil {
		return nil, err
	}
	return t.Option("missingkey=error"), nil
}

// CheckTemplate reports why the template in file cannot be rendered. An empty
// name is the embedded one.
func CheckTemplate(file string) error {
	_, err := loadTemplate(file)
	return err
}

// text is the job that runs j on node.
func (c *Cluster) text(j Job, node Node) (string, error) {
	tmpl, err := c.job, error(nil)
	switch {
	case j.Text != "":
		tmpl, err = parseTemplate(j.Text)
	case j.Template != "":
		tmpl, err = loadTemplate(j.Template)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrJob, err)
	}
	text, err := render(tmpl, j, node)
	if err != nil || !j.Play.Check {
		return text, err
	}
	j.Play.Check = false
	if change, err := render(tmpl, j, node); err != nil || change == text {
		return "", fmt.Errorf("%w: its template does not look at .Check, so that a check would change the host: add {{ if .Check }}\"--check\",{{ end }} to its arguments", ErrJob)
	}
	return text, nil
}

// render fills the template in for one run.
func render(t *template.Template, j Job, node Node) (string, error) {
	v := jobValues{Job: j.ID(), Host: j.Host, Role: j.Role, Meta: maps.Clone(j.Meta), Play: j.Play}
	v.Node.ID, v.Node.Name = node.ID, node.Name
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("%w: render its template: %w", ErrJob, err)
	}
	return b.String(), nil
}
