package agent

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"provision.internal/host"
)

const (
	packageTimeout = 45 * time.Minute // one run; a machine with a slow disk unpacks for long
	packageBudget  = 10 * time.Minute // of waiting between runs: the appliance may be restarted
)

// installPackages seeds the trusted keys and runs xbps-install. A run that
// failed is repeated: it goes on where it stopped, with what it has fetched.
func (in *install) installPackages(ctx context.Context) error {
	for _, key := range in.plan.Keys {
		// xbps-install -y does not accept a key that it does not know.
		if err := in.target.write("/var/db/xbps/keys/"+filepath.Base(key.Path), 0o644, key.Content); err != nil {
			return err
		}
	}
	args := []string{"xbps-install", "-Sy", "-i"} // -i: no repositories but ours, whatever the packages configure
	for _, url := range in.plan.Repository {
		args = append(args, "-R", url)
	}
	args = append(args, "-r", in.sys.path(targetDir))
	args = append(args, in.plan.Packages...)

	run := func() error {
		watch := xbpsWatch{told: in.log.Progress}
		err := in.command(ctx, Command{
			Args:    args,
			Env:     []string{"XBPS_ARCH=" + in.plan.Arch},
			Timeout: packageTimeout,
			Line:    watch.line,
		})
		if err != nil && watch.missing != "" {
			return final("the repositories lack a package: %s", watch.missing)
		}
		return err
	}
	err := in.sys.retry(ctx, packageBudget, 2*time.Second, 30*time.Second, run, func(err error, pause time.Duration) {
		in.log.Say("packages: %v; once more in %s", err, pause)
	})
	if err != nil {
		return err
	}
	// The system fetches updates itself; what it was made of need not stay.
	return os.RemoveAll(in.sys.path(targetDir, "var/cache/xbps"))
}

// xbpsWatch reads xbps-install's output.
type xbpsWatch struct {
	told    func(host.Progress)
	total   int64
	done    int64
	missing string
}

var (
	// "linux6.1   install   -   6.1.140_1   120MB": a row of the table that it shows first.
	xbpsRow = regexp.MustCompile(`^\S+\s+(install|update|reinstall|configure)\s+\S+\s+\S+`)
	// "linux6.1-6.1.140_1: unpacking ..."
	xbpsAction = regexp.MustCompile(`^(\S+?-[^-\s]+_\d+)(?:\.\S+\.xbps)?: (unpacking|configuring|verifying|collecting|\d)`)
)

func (w *xbpsWatch) line(s string) {
	if strings.Contains(s, "not found in repository pool") {
		w.missing = s
		return
	}
	if xbpsRow.MatchString(s) {
		w.total++
		return
	}
	m := xbpsAction.FindStringSubmatch(s)
	if m == nil {
		return
	}
	doing := m[2]
	switch {
	case doing == "unpacking":
		w.done++
	case doing[0] >= '0' && doing[0] <= '9':
		doing = "fetching"
	}
	w.told(host.Progress{Step: "packages", Text: doing + " " + m[1], Done: min(w.done, w.total), Of: w.total})
}

// reconfigure runs what packages could not do while they were unpacked: locales,
// the initramfs with the final configuration.
func (in *install) reconfigure(ctx context.Context) error {
	if !in.has("xbps-reconfigure") {
		in.log.Say("configure: the new system has no xbps-reconfigure; its packages are configured already")
		return nil
	}
	return in.command(ctx, Command{
		Args:    []string{"xbps-reconfigure", "-fa"},
		Chroot:  in.sys.path(targetDir),
		Timeout: packageTimeout,
	})
}
