package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/xbps"
)

// repository is one that packages are taken from.
type repository struct {
	url         string
	index       *xbps.Index
	fingerprint string
}

type options struct {
	sync, yes, force, ignoreConf bool
	repositories                 []string
	cache                        string
	packages                     []string
}

func install(ctx context.Context, args []string) error {
	var root string
	var o options
	f := flags("xbps-install", &root)
	f.BoolVarP(&o.sync, "sync", "S", false, "sync remote repository index")
	f.BoolVarP(&o.yes, "yes", "y", false, "assume yes; an unknown key is refused all the same")
	f.BoolVarP(&o.force, "force", "f", false, "force package re-installation")
	f.BoolVarP(&o.ignoreConf, "ignore-conf-repos", "i", false, "ignore repositories defined in xbps.d")
	f.StringArrayVarP(&o.repositories, "repository", "R", nil, "add repository to the top of the list")
	f.StringVarP(&o.cache, "cachedir", "c", "", "full path to cachedir")
	if help, err := parse(f, args); help || err != nil {
		return err
	}
	o.packages = f.Args()
	s, err := openSystem(root)
	if err != nil {
		return err
	}
	defer s.close()
	if o.cache == "" {
		o.cache = filepath.Join(s.root, "var/cache/xbps")
	}
	return s.install(ctx, o)
}

func (s *system) install(ctx context.Context, o options) error {
	keys, err := xbps.LoadKeys(filepath.Join(s.db, "keys"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	repositories, err := s.open(ctx, o, keys)
	if err != nil || len(o.packages) == 0 {
		return err
	}
	var indexes []*xbps.Index
	for _, r := range repositories {
		indexes = append(indexes, r.index)
	}
	present := s.installed()
	if o.force {
		present = slices.DeleteFunc(present, func(p xbps.Package) bool { return slices.Contains(o.packages, p.Name()) })
	}
	choices, err := xbps.Resolve(indexes, o.packages, present)
	if err != nil {
		return exit(unix.ENODEV, fmt.Errorf("%w\nTransaction aborted due to unresolved dependencies", err))
	}
	if len(choices) == 0 {
		for _, name := range o.packages {
			fmt.Fprintf(os.Stderr, "ERROR: Package `%s' already installed.\n", name)
		}
		return nil
	}
	for _, c := range choices {
		if len(c.Alternatives) > 0 {
			return fmt.Errorf("%s: this stand-in for XBPS has no alternatives", c.Pkgver)
		}
	}
	unpacked := s.unpackedBelow(choices)
	summary(choices, unpacked)
	if !o.yes {
		return errors.New("give -y: this stand-in for XBPS asks no questions")
	}
	return s.commit(ctx, o, keys, repositories, choices, unpacked)
}

// commit fetches, unpacks and configures. Whatever happens, the database says
// what is on the disk.
func (s *system) commit(ctx context.Context, o options, keys xbps.Keys, repositories []repository, choices []xbps.Choice, unpacked []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return err
	}
	fmt.Print("\n[*] Downloading packages\n[*] Collecting package files\n[*] Unpacking packages\n")
	// The order of unpacking is that of the choices; readers run ahead of it.
	queue := make([]chan error, len(choices))
	tickets := make(chan struct{}, readers)
	for i := range queue {
		queue[i] = make(chan error, 1)
	}
	go func() {
		for i, c := range choices {
			tickets <- struct{}{}
			go func() {
				r := repositories[c.Repository]
				queue[i] <- fetch(ctx, o.cache, r.url, r.fingerprint, keys, c.Package)
				<-tickets
			}()
		}
	}()
	for _, name := range unpacked {
		if err := s.script(ctx, s.packages[name], "pre"); err != nil { // once more, as XBPS does
			return err
		}
	}
	held := holders{}
	for i, c := range choices {
		if err := <-queue[i]; err != nil {
			return errors.Join(err, s.save())
		}
		e := &entry{Package: c.Package, Automatic: c.Automatic, Repository: repositories[c.Repository].url,
			InstallDate: time.Now().Format("2006-01-02 15:04 MST")}
		fmt.Printf("%s: unpacking ...\n", c.Pkgver)
		if err := s.unpack(ctx, filepath.Join(o.cache, c.File()), e, held); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", c.Pkgver, err), s.save())
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	names := unpacked
	for _, c := range choices {
		names = append(names, c.Name())
	}
	if err := s.configureAll(ctx, names); err != nil {
		return errors.Join(err, s.save())
	}
	fmt.Printf("\n%d downloaded, %d installed, 0 updated, %d configured, 0 removed, 0 on hold.\n", len(choices), len(choices), len(names))
	return s.save()
}

// configureAll configures what was unpacked.
func (s *system) configureAll(ctx context.Context, names []string) error {
	fmt.Print("\n[*] Configuring unpacked packages\n")
	for _, name := range names {
		e := s.packages[name]
		if err := s.configure(ctx, e); err != nil {
			return err
		}
		fmt.Printf("%s: installed successfully.\n", e.Pkgver)
	}
	return nil
}

// unpackedBelow lists what the choices depend on and an earlier run has unpacked only. As
// XBPS does, a run configures these; what else is not configured it leaves so.
func (s *system) unpackedBelow(choices []xbps.Choice) []string {
	var names []string
	seen := map[string]bool{}
	var visit func(p xbps.Package)
	visit = func(p xbps.Package) {
		for _, dep := range p.Depends {
			name, _ := xbps.DependencyName(dep)
			e, ok := s.packages[name]
			if !ok || seen[name] {
				continue
			}
			seen[name] = true
			visit(e.Package)
			if e.State != stateInstalled {
				names = append(names, name)
			}
		}
	}
	for _, c := range choices {
		visit(c.Package)
	}
	return names
}

// summary says what will be done, as XBPS does where it has no terminal with columns.
func summary(choices []xbps.Choice, unpacked []string) {
	var size, installed uint64
	var chosen []string
	for _, c := range choices {
		size += c.Size
		installed += c.InstalledSize
		chosen = append(chosen, c.Pkgver)
	}
	for _, part := range []struct {
		action string
		what   []string
	}{{"downloaded", chosen}, {"installed", chosen}, {"configured", unpacked}} {
		plural := "s"
		if len(part.what) == 1 {
			plural = ""
		}
		if len(part.what) > 0 {
			fmt.Printf("%d package%s will be %s:\n\n  %s \n", len(part.what), plural, part.action, strings.Join(part.what, " \n  "))
		}
	}
	fmt.Printf("\nSize to download:             %6s\nSize required on disk:        %6s\n\n", humanize(size), humanize(installed))
}

// open reads the indexes of the repositories given and, unless told otherwise, of
// those that the system has configured.
func (s *system) open(ctx context.Context, o options, keys xbps.Keys) ([]repository, error) {
	urls := o.repositories
	if !o.ignoreConf {
		configured, err := s.configured()
		if err != nil {
			return nil, err
		}
		urls = append(urls, configured...)
	}
	if len(urls) == 0 {
		return nil, errors.New("no repositories currently registered: give -R URL")
	}
	var all []repository
	for _, u := range urls {
		r, err := s.openOne(ctx, strings.TrimRight(u, "/"), o.sync, keys)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

var mangled = strings.NewReplacer(".", "_", "/", "_", ":", "_")

func (s *system) openOne(ctx context.Context, base string, sync bool, keys xbps.Keys) (repository, error) {
	if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return repository{}, fmt.Errorf("repository %s: want an http or https URL", base)
	}
	dir := filepath.Join(s.db, mangled.Replace(base))
	name := filepath.Join(dir, xbps.IndexName(arch()))
	if sync {
		from := base + "/" + xbps.IndexName(arch())
		fmt.Printf("[*] Updating repository `%s' ...\n", from)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return repository{}, err
		}
		// A part of an older index is no part of this one.
		if err := os.RemoveAll(name + ".part"); err != nil {
			return repository{}, err
		}
		if _, _, err := download(ctx, from, name); err != nil {
			return repository{}, err
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return repository{}, fmt.Errorf("repository %s was not synced: give -S: %w", base, err)
	}
	defer f.Close()
	index, err := xbps.ReadIndex(f)
	if err != nil {
		return repository{}, fmt.Errorf("repository %s: %w", base, err)
	}
	if index.Key == nil {
		return repository{}, fmt.Errorf("repository %s: unsigned", base)
	}
	r := repository{base, index, index.Key.Fingerprint()}
	if _, ok := keys[r.fingerprint]; !ok {
		return repository{}, fmt.Errorf("`%s' repository has been RSA signed by %q\nFingerprint: %s\nthe key is not in %s, and -y does not accept it",
			base, index.Key.SignedBy, r.fingerprint, filepath.Join(s.db, "keys"))
	}
	return r, nil
}

var repositoryLine = regexp.MustCompile(`(?m)^\s*repository\s*=\s*(\S+)\s*$`)

// configured returns the repositories of the xbps.d folders. A file in /etc hides the
// one of the same name in /usr/share.
func (s *system) configured() ([]string, error) {
	files := map[string]string{}
	var order []string
	for _, dir := range []string{"etc/xbps.d", "usr/share/xbps.d"} {
		names, err := filepath.Glob(filepath.Join(s.root, dir, "*.conf"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if base := filepath.Base(name); files[base] == "" {
				files[base] = name
				order = append(order, name)
			}
		}
	}
	var urls []string
	for _, name := range order {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, m := range repositoryLine.FindAllStringSubmatch(string(b), -1) {
			urls = append(urls, m[1])
		}
	}
	return urls, nil
}
