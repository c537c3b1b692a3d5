package ansible

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	docker := Config{Image: "registry.example:5000/ansible/ansible", Playbooks: []string{"base.yml", "site/nomad.yml"}}
	for _, tt := range []struct {
		name string
		do   func(*Config)
		want string // empty: no fault
	}{
		{"docker", func(*Config) {}, ""},
		{"nothing", func(c *Config) { *c = Config{} }, ""},
		{"all of it", func(c *Config) {
			c.Command, c.Commit, c.Arguments, c.Deadline = "/x/ansible-playbook", "4f3b6b6", []string{"-v"}, time.Minute
			c.ARA = ARA{Server: "http://ara.example", Plugins: "/ara"}
			c.Schedule = Schedule{Every: time.Hour, Jitter: time.Minute, Parallel: 5}
		}, ""},
		{"raw_exec", func(c *Config) {
			*c = Config{Driver: RawExec, Directory: "/srv", Command: "ansible-playbook", Root: "/mnt"}
		}, ""},
		{"no driver", func(c *Config) { *c = Config{Directory: "/srv"} }, "config.driver: is missing"},
		{"unknown driver", func(c *Config) { c.Driver = "podman" }, `config.driver: "podman" is neither`},
		{"docker without an image", func(c *Config) { c.Driver, c.Image = Docker, "" }, "config.image: is missing"},
		{"raw_exec without a folder", func(c *Config) { *c = Config{Driver: RawExec} }, "config.directory: is missing"},
		{"raw_exec with an image", func(c *Config) { c.Driver, c.Directory = RawExec, "/srv" }, "config.image: is for the driver docker"},
		{"docker with a folder", func(c *Config) { c.Directory = "/srv" }, "config.directory: is for the driver raw_exec"},
		{"a tag", func(c *Config) { c.Image += ":latest" }, "config.image: cannot be an image"},
		{"a password", func(c *Config) { c.Image = "user:hunter2@registry.example/a" }, "config.image: cannot be an image"},
		{"Nomad's variable", func(c *Config) { c.Arguments = []string{"${HOME}"} }, "config.arguments[0]"},
		{"a relative folder", func(c *Config) { c.Path = "ansible" }, `config.path: "ansible" does not begin with a slash`},
		{"a playbook elsewhere", func(c *Config) { c.Playbooks = []string{"../x.yml"} }, "config.playbooks[0]"},
		{"an option for a playbook", func(c *Config) { c.Playbooks = []string{"a.yml", "-e"} }, "config.playbooks[1]"},
		{"a commit that is no tag", func(c *Config) { c.Commit = "v1/x" }, "config.commit"},
		{"ARA without plugins", func(c *Config) { c.ARA.Server = "http://ara.example" }, "config.ara.plugins: is missing"},
		{"ARA with a password", func(c *Config) { c.ARA = ARA{"http://u:hunter2@ara.example", "/x"} }, "config.ara.server: has a password"},
		{"a short deadline", func(c *Config) { c.Deadline = 3 }, "config.deadline"},
		{"jitter beyond the turn", func(c *Config) { c.Schedule = Schedule{Every: time.Hour, Jitter: time.Hour} }, "config.schedule.jitter"},
		{"a hasty schedule", func(c *Config) { c.Schedule.Every = time.Second }, "config.schedule.every"},
		{"less than nobody", func(c *Config) { c.Schedule.Parallel = -1 }, "config.schedule.parallel"},
	} {
		c := docker
		tt.do(&c)
		err := c.Validate("config")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Count(err.Error(), "\n") > 0) {
			t.Errorf("%s: %v, want this fault alone and no password", tt.name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Image: "registry.example/a"}
	if c.DriverName() != Docker || c.Within() != 45*time.Minute || c.PathInImage() != "/ansible" || c.Schedule.Width() != 20 || !c.Enabled() || (Config{}).Enabled() {
		t.Errorf("driver %q, %s, %q, %d", c.DriverName(), c.Within(), c.PathInImage(), c.Schedule.Width())
	}
}
