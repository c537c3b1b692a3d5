package daemon

import (
	"context"
	"strings"

	"provision.internal/cluster"
	"provision.internal/web"
)

// checkCluster asks for the cluster that hosts come into: one that is founded
// here is the daemon's to ask, which has its token.
func checkCluster(ctx context.Context, cfg Config, running *web.Status) Finding {
	if !cfg.Cluster.Founds() {
		return checkNomad(ctx, cfg.Nomad)
	}
	what := "cluster of " + strings.Join(cfg.Cluster.Servers, ", ")
	if running == nil {
		return Finding{Verdict: Skipped, What: what, Text: "is asked by the daemon, which does not run", Do: "start it with provision serve, and check again"}
	}
	st, err := (&web.Client{Socket: cfg.Server.Socket}).ClusterStatus(ctx)
	if err != nil {
		return bad(what, "restart the daemon when the configuration was changed, or look at its log", "%v", err)
	}
	return findingOf(what, st)
}

func findingOf(what string, st cluster.Status) Finding {
	warning := func(do, text string) Finding {
		return Finding{Verdict: Warning, What: what, Text: text, Do: do}
	}
	switch {
	case st.State == cluster.StateNotAsked:
		return warning("provision cluster init founds it; until then hosts stay Booted", "is not founded")
	case st.State == cluster.StateFounding:
		return warning("provision cluster init follows it", "is being founded: "+st.Waits)
	case st.Trouble != "":
		return bad(what, "start its servers; hosts stay Booted until they answer", "%s", st.Trouble)
	case len(st.Missing) > 0:
		return bad(what, "start them, or install them again with provision reinstall", "these servers are missing: %s", strings.Join(st.Missing, ", "))
	case st.Waits != "":
		return warning("mend that; it is tried again by itself", st.Waits)
	}
	return good(what, "is founded; its leader is %s", st.Leader)
}
