package agent

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"provision.internal/host"
)

const (
	packageTimeout = 45 * time.Minute // one run; a machine with a slow disk unpacks for long
	packageBudget  = 10 * time.Minute // of waiting between runs: the appliance may be restarted
)

// installPackages seeds the trusted keys and runs xbps-install. A run that
// failed is repeated: it goes on where it stopped, with what it has fetched.
//
// A repetition does not run a failed INSTALL script again: xbps-install then says that
// everything is installed already. reconfigure runs all of them, and fails when one does.
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
		if err := in.forgetIndexes(); err != nil {
			return err
		}
		watch, err := in.xbps(ctx, "packages", Command{Args: args, Env: []string{"XBPS_ARCH=" + in.plan.Arch}})
		if err != nil && watch.refused != "" {
			return final("%s: %w", watch.refused, err)
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

// forgetIndexes removes what earlier runs have fetched of the repositories' indexes. XBPS
// 0.60 resumes an index whose transfer broke, even with the rest of a newer one, and
// keeps the result as long as the server has nothing newer still.
func (in *install) forgetIndexes() error {
	files, err := filepath.Glob(in.sys.path(targetDir, "var/db/xbps/*/*-repodata*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// reconfigure runs what packages could not do while they were unpacked: locales,
// the initramfs with the final configuration.
func (in *install) reconfigure(ctx context.Context) error {
	if !in.has("xbps-reconfigure") {
		in.log.Say("configure: the new system has no xbps-reconfigure; its packages are configured already")
		return nil
	}
	_, err := in.xbps(ctx, "configure", Command{Args: []string{"xbps-reconfigure", "-fa"}, Chroot: in.sys.path(targetDir)})
	return err
}

// xbps runs a program of XBPS and tells its progress as that of a step.
func (in *install) xbps(ctx context.Context, step string, c Command) (*xbpsWatch, error) {
	watch := &xbpsWatch{told: func(text string, done, of int64) {
		in.log.Progress(host.Progress{Step: step, Text: text, Done: done, Of: of})
	}}
	// Into a pipe XBPS writes in blocks of 4 kB, which is a hundred packages late.
	c.Terminal = true
	c.Timeout = packageTimeout
	c.Line = func(line string) {
		if watch.line(line) {
			in.log.Detail(line)
		}
	}
	in.log.Detail("$ " + c.String())
	return watch, in.sys.Run(ctx, c)
}
