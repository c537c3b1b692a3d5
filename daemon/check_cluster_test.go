package daemon

import (
	"strings"
	"testing"

	"provision.internal/cluster"
)

func TestCheckOfTheCluster(t *testing.T) {
	for _, test := range []struct {
		status  cluster.Status
		verdict Verdict
		want    string
	}{
		{cluster.Status{State: cluster.StateNotAsked}, Warning, "provision cluster init founds it"},
		{cluster.Status{State: cluster.StateFounding, Waits: "no leader"}, Warning, "being founded: no leader"},
		{cluster.Status{State: cluster.StateFounded, Trouble: "no route"}, Bad, "no route"},
		{cluster.Status{State: cluster.StateFounded, Missing: []string{"node2", "node3"}}, Bad, "missing: node2, node3"},
		{cluster.Status{State: cluster.StateFounded, Waits: "a policy is refused"}, Warning, "a policy is refused"},
		{cluster.Status{State: cluster.StateFounded, Leader: "10.0.0.1:4647"}, Good, "leader is 10.0.0.1:4647"},
	} {
		f := findingOf("cluster", test.status)
		if f.Verdict != test.verdict || !strings.Contains(f.Text+f.Do, test.want) {
			t.Errorf("findingOf(%+v) = %+v, want %s with %q", test.status, f, test.verdict, test.want)
		}
	}
}
