package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"provision.internal/web"
	"provision.internal/xbps"
)

// upstreamPatience is how long upstream may take to say that it has an index.
const upstreamPatience = 10 * time.Second

// checkUpstream asks upstream for the indexes that machines are going to need. A daemon that
// runs serves what it has kept, so that a silent upstream is no more than a warning then.
func checkUpstream(ctx context.Context, cfg Config, running *web.Status) []Finding {
	im := cfg.Images
	if im.Repository != "" {
		return nil
	}
	if im.Upstream == NoUpstream {
		return []Finding{good("upstream", "none: what provision images import brings is what there is")}
	}
	var all []Finding
	for _, r := range cfg.repositories() {
		path := r.Path + "/" + xbps.IndexName(r.Arch)
		f := good("upstream "+path, "is there")
		if err := hasIndex(ctx, im.Upstream, path); err != nil {
			f = bad("upstream "+path, "look at the network and images.upstream; without a network, provision images import and upstream: none", "%v", err)
			if running != nil {
				f.Verdict = Warning
			}
		}
		all = append(all, f)
	}
	return all
}

func hasIndex(ctx context.Context, upstream, path string) error {
	ctx, cancel := context.WithTimeout(ctx, upstreamPatience)
	defer cancel()
	at, err := url.JoinPath(upstream, path)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, at, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_ = res.Body.Close() // HEAD has none
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", at, res.Status)
	}
	return nil
}
