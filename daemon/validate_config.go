package daemon

import (
	"fmt"
	"maps"
	"slices"

	"provision.internal/ansible"
)

// validateConfiguration checks the section config, and what roles say about it.
func (c Config) validateConfiguration(fs *Faults) {
	fs.take(c.Config.Validate("config"))
	if c.Config.Enabled() && c.Config.DriverName() == "" && c.Nomad.Job == "" {
		fs.add("config.driver", "is missing: set config.image, or driver: raw_exec, or a template of your own in nomad.job")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles)) {
		path := "roles." + name + ".playbooks"
		if len(c.Roles[name].Playbooks) > 0 && !c.Config.Enabled() {
			fs.add(path, "needs the section config, which says where the playbooks are")
		}
		if c.Config.DriverName() != "" && len(c.Config.Playbooks) == 0 && len(c.Roles[name].Playbooks) == 0 {
			fs.add(path, "is missing, and so is config.playbooks: list what configures these hosts")
		}
		for i, p := range c.Roles[name].Playbooks {
			if err := ansible.CheckPlaybook(p); err != nil {
				fs.add(fmt.Sprintf("%s[%d]", path, i), "%v", err)
			}
		}
	}
}
