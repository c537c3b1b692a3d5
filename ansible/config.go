package ansible

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"
)

// The task drivers of Nomad that can run Ansible.
const (
	Docker  = "docker"   // from an image, with the host's root mounted
	RawExec = "raw_exec" // the host's own Ansible
)

// Where things are when the configuration does not say.
const (
	defaultPath     = "/ansible" // in the image
	defaultCommand  = "/ansible/venv/bin/ansible-playbook"
	defaultDeadline = 45 * time.Minute
	defaultParallel = 20
)

// Config is the section config: how hosts are configured, and kept so. Without
// it a host's configuration is one run of the template in nomad.job.
type Config struct {
	Driver    string        `mapstructure:"driver"`    // Docker or RawExec; Docker when Image is set
	Image     string        `mapstructure:"image"`     // REGISTRY/NAME without a tag: the tag is the commit
	Command   string        `mapstructure:"command"`   // ansible-playbook: in the image, or on the host
	Directory string        `mapstructure:"directory"` // RawExec: the folder on the host that has the playbooks
	Root      string        `mapstructure:"root"`      // RawExec: a folder that is configured as a chroot; the host itself when empty
	Commit    string        `mapstructure:"commit"`    // until the first one is published
	Playbooks []string      `mapstructure:"playbooks"` // in order; of roles that name none
	Arguments []string      `mapstructure:"arguments"` // of ansible-playbook, beside ours
	ARA       ARA           `mapstructure:"ara"`
	Deadline  time.Duration `mapstructure:"deadline"` // of one playbook on one host; 45m when zero

	// How an image of a Git revision is made and pushed: see package publish.
	Base     string `mapstructure:"base"`     // the image below it: a reference or a tarball
	Path     string `mapstructure:"path"`     // of the playbooks in the image; /ansible when empty
	Insecure bool   `mapstructure:"insecure"` // the registry speaks plain HTTP

	Schedule Schedule `mapstructure:"schedule"`
}

// ARA is where Ansible's runs are recorded for people; see ara.recordsansible.org.
type ARA struct {
	Server  string `mapstructure:"server"`  // URL of its API and its pages; empty for none
	Plugins string `mapstructure:"plugins"` // folder with ARA's plugins, in the image or on the host
}

// Schedule says when hosts are configured again, against drift.
type Schedule struct {
	Every    time.Duration `mapstructure:"every"`    // for each host; never when zero
	Jitter   time.Duration `mapstructure:"jitter"`   // a host's turn comes up to this much later
	Parallel int           `mapstructure:"parallel"` // hosts at a time in one run; 20 when zero
}

// Enabled reports whether the section is there: whether hosts are configured by
// playbooks.
func (c Config) Enabled() bool { return c.Driver != "" || c.Image != "" || len(c.Playbooks) > 0 }

// DriverName is the task driver of the embedded jobs; empty when the section
// chooses none, and the operator's own template is needed.
func (c Config) DriverName() string {
	if c.Driver == "" && c.Image != "" {
		return Docker
	}
	return c.Driver
}

// Within is the deadline of one playbook.
func (c Config) Within() time.Duration { return cmp.Or(c.Deadline, defaultDeadline) }

// PathInImage is the folder of the playbooks in the image.
func (c Config) PathInImage() string { return cmp.Or(c.Path, defaultPath) }

// Width is how many hosts a run configures at a time.
func (s Schedule) Width() int { return cmp.Or(s.Parallel, defaultParallel) }

var (
	imageName    = regexp.MustCompile(`^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$`)
	playbookName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)
	// What a registry takes for a tag, and Git for the name of a commit.
	commitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// CheckPlaybook reports why name cannot be a playbook's: it is a file's, counted
// from the folder of the playbooks.
func CheckPlaybook(name string) error {
	if !playbookName.MatchString(name) {
		return fmt.Errorf("%q is no playbook: want a file name such as base.yml, counted from the folder of the playbooks", name)
	}
	return nil
}

// CheckCommit reports why name cannot be a commit's: it is also the image's tag.
func CheckCommit(name string) error {
	if !commitName.MatchString(name) {
		return fmt.Errorf("%q is no commit: want its whole hash, or another name of letters, digits, dots and hyphens that is the image's tag", name)
	}
	return nil
}

// Validate reports every fault at once. Each message begins with the key's
// path; section is the section's own, without a final dot.
func (c Config) Validate(section string) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{section, key}, args...)...))
	}
	c.validateJob(fault)
	for i, p := range c.Playbooks {
		if err := CheckPlaybook(p); err != nil {
			fault(fmt.Sprintf("playbooks[%d]", i), "%v", err)
		}
	}
	if c.Commit != "" {
		if err := CheckCommit(c.Commit); err != nil {
			fault("commit", "%v", err)
		}
	}
	c.validateARA(fault)
	if c.Deadline != 0 && c.Deadline < time.Second {
		fault("deadline", "%s is shorter than 1s", c.Deadline)
	}
	c.Schedule.validate(fault)
	return errors.Join(faults...)
}

func (c Config) validateJob(fault func(key, format string, args ...any)) {
	switch c.DriverName() {
	case Docker:
		if c.Image == "" {
			fault("image", "is missing: name the image that has Ansible and the playbooks, such as registry.example:5000/ansible/ansible")
		}
		for _, f := range []struct{ key, value string }{{"directory", c.Directory}, {"root", c.Root}} {
			if f.value != "" {
				fault(f.key, "is for the driver raw_exec: leave it out")
			}
		}
	case RawExec:
		if c.Directory == "" {
			fault("directory", "is missing: name the folder on the hosts that has the playbooks")
		}
		if c.Image != "" {
			fault("image", "is for the driver docker: leave it out, or the driver")
		}
	case "":
		if c.Directory != "" || c.Root != "" || c.Base != "" || c.Command != "" {
			fault("driver", "is missing: say docker or raw_exec")
		}
	default:
		fault("driver", "%q is neither docker nor raw_exec", c.Driver)
	}
	if c.Image != "" && !imageName.MatchString(c.Image) {
		// The value is not repeated: a password may be in it.
		fault("image", "cannot be an image: want REGISTRY/NAME in lower-case letters, without a tag, a scheme or a password")
	}
	for _, f := range []struct{ key, value string }{
		{"command", c.Command}, {"directory", c.Directory}, {"root", c.Root}, {"path", c.Path}, {"ara.plugins", c.ARA.Plugins},
	} {
		relative := f.value != "" && !path.IsAbs(f.value)
		if f.key == "command" && !strings.Contains(f.value, "/") {
			relative = false // looked up in the host's PATH
		}
		switch {
		case relative:
			fault(f.key, "%q does not begin with a slash: it is a file of the hosts or the image", f.value)
		case unfit(f.value):
			fault(f.key, "%q has characters that a file here may not have: ${ or control characters", f.value)
		}
	}
	for i, a := range c.Arguments {
		if a == "" || unfit(a) {
			fault(fmt.Sprintf("arguments[%d]", i), "%q cannot be an argument: Nomad would read ${, and nobody a control character", a)
		}
	}
}

// unfit reports what Nomad's client would take for its own, or a terminal.
func unfit(s string) bool {
	return strings.Contains(s, "${") || strings.Contains(s, "%{") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func (c Config) validateARA(fault func(key, format string, args ...any)) {
	if c.ARA == (ARA{}) {
		return
	}
	u, err := url.Parse(c.ARA.Server)
	switch {
	case c.ARA.Server == "":
		fault("ara.server", "is missing: give the URL of ARA's server, such as http://ara.example")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		fault("ara.server", "is no URL: want http://HOST or https://HOST")
	case u.User != nil:
		fault("ara.server", "has a password: it would show in the job; give ARA's credentials to its callback in another way")
	}
	if c.ARA.Plugins == "" {
		fault("ara.plugins", "is missing: name the folder of ARA's plugins, as python3 -m ara.setup.path shows it without its last part")
	}
}

func (s Schedule) validate(fault func(key, format string, args ...any)) {
	if s.Every != 0 && s.Every < time.Minute {
		fault("schedule.every", "%s is shorter than 1m", s.Every)
	}
	if s.Jitter < 0 || s.Jitter > 0 && s.Jitter >= s.Every {
		fault("schedule.jitter", "%s is not between 0s and %s, the time between two turns of a host", s.Jitter, s.Every)
	}
	if s.Parallel < 0 {
		fault("schedule.parallel", "%d is less than one host", s.Parallel)
	}
}
