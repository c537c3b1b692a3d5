package installer_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
)

// The agent and the server take the same paths from different packages.
func TestPrefixesAreThoseOfBoot(t *testing.T) {
	if installer.AgentPrefix != boot.AgentPath || installer.EnrolPrefix != boot.EnrolPath {
		t.Errorf("prefixes are %q and %q, boot has %q and %q",
			installer.AgentPrefix, installer.EnrolPrefix, boot.AgentPath, boot.EnrolPath)
	}
}

// What one side writes, the other reads: nothing is lost on the wire.
func TestMessagesSurviveTheWire(t *testing.T) {
	mac := host.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	uuid := host.UUID{1, 2, 3}
	for _, message := range []any{
		&installer.Hello{MAC: mac, Secret: "s", Version: "v", Inventory: host.Inventory{
			UUID: uuid, UEFI: true, Disks: []host.Disk{{Name: "vda", Serial: "A", Size: 1}}, NICs: []host.NIC{{Name: "eth0", MAC: mac, Boot: true}},
		}},
		&installer.Welcome{Session: "s", Action: installer.ActionInstall, Host: "n1", Disk: "A", RetryAfter: 2, Reason: "r"},
		&installer.TakeGrant{Secret: "s", UUID: uuid, Disk: "A"},
		&installer.Report{Sequence: 7, Progress: host.Progress{Step: "packages", Done: 1, Of: 2}, Lines: []string{"a", "b"}},
		&installer.Enrolled{Certificate: "c", CA: "a", Files: []installer.File{{Path: "/x", Mode: 0o600, Content: "y"}}},
		&installer.Status{Token: "t", Host: "n1", Lines: []string{"l"}, Done: true},
		&installer.EnrolConfig{Host: "n1", FirstBoot: installer.FirstBoot{URL: "https://a", HTTP: "http://a", CA: "c", Token: "t"}},
		&installer.Overlay{URL: "https://a", HTTP: "http://a", Userland: &installer.Userland{URL: "http://a/u", SHA256: "00", Size: 3}},
	} {
		b, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		got := newLike(message)
		if err := json.Unmarshal(b, got); err != nil {
			t.Fatalf("read %s: %v", b, err)
		}
		if d := cmp.Diff(message, got); d != "" {
			t.Errorf("%s came back different (-sent +got):\n%s", b, d)
		}
	}
}

func newLike(message any) any {
	switch message.(type) {
	case *installer.Hello:
		return new(installer.Hello)
	case *installer.Welcome:
		return new(installer.Welcome)
	case *installer.TakeGrant:
		return new(installer.TakeGrant)
	case *installer.Report:
		return new(installer.Report)
	case *installer.Enrolled:
		return new(installer.Enrolled)
	case *installer.Status:
		return new(installer.Status)
	case *installer.EnrolConfig:
		return new(installer.EnrolConfig)
	case *installer.Overlay:
		return new(installer.Overlay)
	}
	return nil
}
