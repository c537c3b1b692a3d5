package daemon

import "testing"

// A configuration job in a container needs what Nomad's clients refuse by default;
// where none runs, they go on refusing it.
func TestDockerIsAllowedWhatTheJobNeeds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   bool
	}{
		{"an image", map[string]any{"image": "registry.example:5000/ansible", "playbooks": []any{"base.yml"}}, true},
		{"the host's own Ansible", map[string]any{"driver": "raw_exec", "directory": "/etc/ansible", "playbooks": []any{"base.yml"}}, false},
		{"no section", nil, false},
	} {
		settings := map[string]any{}
		if tt.config != nil {
			settings["config"] = tt.config
		}
		cfg, _ := Decode(settings, t.TempDir()) // the other sections are missing
		if cfg.Nomad.Docker != tt.want {
			t.Errorf("%s: docker is allowed %v, want %v", tt.name, cfg.Nomad.Docker, tt.want)
		}
	}
}
