package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/host"
	"provision.internal/nomad"
)

// How long to wait before the founding is tried again. A leaderless server takes
// as long as retry to say so. What is missing once hosts are let in is for the
// operator to correct, and need not be tried as often.
const (
	retry      = 5 * time.Second
	retryLater = time.Minute
)

// Run founds the cluster once it is asked for, however long that takes, and
// looks at each start whether it is still ours. It returns nil when it is done,
// or ctx ends.
func (f *Founder) Run(ctx context.Context) error {
	if !f.site.Config.Founds() {
		return nil
	}
	for {
		var again <-chan time.Time // never: Ask wakes
		if f.Asked() {
			err := f.found(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				f.wait("")
				return nil
			}
			if f.wait(f.words(err)) {
				f.site.Log.WarnContext(ctx, "the cluster is not as declared yet", "err", err)
			}
			pause := retry
			if f.Founded() {
				pause = retryLater
			}
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-again:
		}
	}
}

// found goes through all steps. Each of them finds what an earlier try has done.
func (f *Founder) found(ctx context.Context) error {
	f.apply.Lock()
	defer f.apply.Unlock()
	if err := f.leader(ctx); err != nil {
		return err
	}
	if err := f.bootstrap(ctx); err != nil {
		return err
	}
	plan, err := f.plan(ctx)
	if err != nil {
		return err
	}
	// The appliance's own policy and token let hosts in. What the operator has
	// declared may be refused, and must not hold them up.
	mine, others := plan.split(func(c Change) bool { return c.Kind == KindPolicy && c.Name == appliancePolicy })
	if err := f.carryOut(ctx, mine); err != nil {
		return err
	}
	if err := f.ownToken(ctx); err != nil {
		return err
	}
	version, err := f.oldest(ctx)
	if err != nil {
		return err
	}
	if r := f.known(); r.Founded.IsZero() || r.Version != version {
		err := f.remember(func(r *record) {
			r.Version = version
			if r.Founded.IsZero() {
				r.Founded = f.site.now()
			}
		})
		if err != nil {
			return err
		}
		f.site.Log.InfoContext(ctx, "the cluster is founded", "version", version)
	}
	return f.carryOut(ctx, others)
}

// leader returns nil when the servers have one.
func (f *Founder) leader(ctx context.Context) error {
	var leader string
	return nomad.Call(ctx, "the servers have no leader yet", func(ctx context.Context) error {
		_, err := f.open.Raw().Query("/v1/status/leader", &leader, query(ctx))
		if err == nil && leader == "" {
			return errors.New("they know of none")
		}
		return err
	})
}

// bootstrap makes the ACLs with our own secret, unless it is known there already.
func (f *Founder) bootstrap(ctx context.Context) error {
	secret, err := f.BootstrapSecret()
	if err != nil {
		return err
	}
	return nomad.Call(ctx, "make the cluster's ACLs", func(ctx context.Context) error {
		_, _, err := f.open.ACLTokens().BootstrapOpts(secret, write(ctx))
		code, body := nomad.Answer(err)
		switch {
		case strings.Contains(body, "ACL bootstrap already done"):
			return f.bootstrapped(ctx)
		case code == 400 && strings.Contains(body, "ACL support disabled"):
			return errors.New("the servers run without ACLs: give acl { enabled = true } to their configuration, or leave cluster.servers out")
		}
		return err
	})
}

// errNoManagement: the cluster is ours, and the key to its policies is gone.
var errNoManagement = errors.New("the management token is refused: it was deleted there; make another (nomad acl token create -type=management) and name its file in cluster.management_token_file")

// bootstrapped reports whether the ACLs that are there are ours: an answer that
// was lost, or an earlier start.
func (f *Founder) bootstrapped(ctx context.Context) error {
	self, _, err := f.manage.ACLTokens().Self(query(ctx))
	if code, _ := nomad.Answer(err); code == 403 || code == 404 {
		if _, _, err := f.mine.ACLTokens().Self(query(ctx)); err == nil {
			return errNoManagement
		}
		return fmt.Errorf("the ACLs of the cluster: %w: somebody else has bootstrapped them; to use that cluster, leave cluster.servers out and name it in the section nomad with a token, or give a management token in cluster.management_token_file", ErrForeign)
	}
	if err == nil && self.Type != "management" {
		return fmt.Errorf("the token for policies and pools is of type %q: give a management token in cluster.management_token_file", self.Type)
	}
	return err
}

// ownToken makes the appliance's token, or finds the one that was made when the
// answer, or the appliance, was lost.
func (f *Founder) ownToken(ctx context.Context) error {
	if _, err := f.unseal(tokenSecret); err == nil {
		err := nomad.Call(ctx, "look up the appliance's token", func(ctx context.Context) error {
			_, _, err := f.mine.ACLTokens().Self(query(ctx))
			return err
		})
		if !errors.Is(err, nomad.ErrDenied) {
			return err
		}
		// It was deleted there.
	} else if !errors.Is(err, host.ErrUnknown) {
		return err
	}
	name := appliancePolicy + " " + f.known().ID
	var token *api.ACLToken
	err := nomad.Call(ctx, "make the appliance's token", func(ctx context.Context) error {
		token = nil
		all, _, err := f.manage.ACLTokens().List(query(ctx))
		if err != nil {
			return err
		}
		for _, stub := range all {
			if stub.Name != name {
				continue
			}
			token, _, err = f.manage.ACLTokens().Info(stub.AccessorID, query(ctx))
			return err
		}
		token, _, err = f.manage.ACLTokens().Create(&api.ACLToken{Name: name, Type: "client", Policies: []string{appliancePolicy}}, write(ctx))
		return err
	})
	if err != nil {
		return err
	}
	if err := f.site.Secrets.Seal(tokenSecret, []byte(token.SecretID)); err != nil {
		return fmt.Errorf("keep the appliance's token: %w", err)
	}
	return nil
}

func query(ctx context.Context) *api.QueryOptions { return new(api.QueryOptions).WithContext(ctx) }
func write(ctx context.Context) *api.WriteOptions { return new(api.WriteOptions).WithContext(ctx) }
