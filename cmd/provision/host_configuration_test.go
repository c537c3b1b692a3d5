package main

import (
	"strings"
	"testing"
	"time"

	"provision.internal/host"
)

func TestConfigurationText(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &host.Configuration{
		Commit: "4f3b6b6", Ended: now.Add(-2 * time.Minute), Failure: "playbook nomad.yml: task \"install\x1b\" failed",
		Playbooks: []host.Played{
			{Playbook: "bootstrap.yml", Job: "provision-node1-a-1"},
			{Playbook: "nomad.yml", Job: "provision-node1-a-2", Recap: true, Totals: host.Totals{OK: 4, Changed: 2, Failed: 1}, Page: "http://ara.example/?label=x"},
		},
	}
	got := configurationText(c, now, paint(false))
	for _, want := range []string{
		"configured from 4f3b6b6 on ", ", 2m", "bootstrap.yml  no recap  provision-node1-a-1\n",
		"nomad.yml      ok=4 changed=2 unreachable=0 failed=1 skipped=0 rescued=0 ignored=0  provision-node1-a-2 http://ara.example/?label=x\n",
		"task \"install\" failed\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if got := configurationText(nil, now, paint(false)); got != "" {
		t.Errorf("of a host that was never configured: %q", got)
	}
}
