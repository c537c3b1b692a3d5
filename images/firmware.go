package images

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"provision.internal/xbps"
)

// firmwarePackages are where drivers' firmware is looked for, the smaller first.
// A repository need not have them: most drivers do without.
var firmwarePackages = []string{"linux-firmware-network", "linux-firmware-broadcom", "linux-firmware"}

const (
	maxFirmware    = 64 << 20 // of one file, decompressed
	maxAllFirmware = 256 << 20
)

// wantedFirmware is what the selected modules name.
func wantedFirmware(sel *selection) []string {
	all := map[string]bool{}
	for _, modules := range []map[string]module{sel.boot, sel.late} {
		for _, m := range modules {
			for _, name := range m.firmware {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// loadable is firmware by the name below lib/firmware that drivers ask for.
type loadable map[string][]byte

// of is what one module may ask for.
func (l loadable) of(m module) loadable {
	out := loadable{}
	for name, body := range l {
		if slices.ContainsFunc(m.firmware, func(pattern string) bool { return sameFirmware(pattern, name) }) {
			out[name] = body
		}
	}
	return out
}

// sameFirmware: newer drivers name families of files with wildcards.
func sameFirmware(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == name || err == nil && ok
}

// collectFirmware finds the wanted files in packages and decompresses them. What no package
// has is left out: drivers name files of every card and of every version
// that they can do with.
func collectFirmware(ctx context.Context, packages []source, wanted []string) (loadable, error) {
	out := loadable{}
	total := 0
	for _, p := range packages {
		missing := slices.DeleteFunc(slices.Clone(wanted), func(w string) bool { return out[w] != nil })
		if len(missing) == 0 {
			break
		}
		found, err := listFirmware(ctx, p, missing)
		if err != nil || len(found) == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		err = p.walk(ctx, func(f xbps.File, r io.Reader) error {
			names := found[f.Path]
			if len(names) == 0 || !f.Mode.IsRegular() || f.Link != "" {
				return nil
			}
			body, err := decompressed(r, maxFirmware)
			if err != nil {
				return err
			}
			if total += len(body); total > maxAllFirmware {
				return fmt.Errorf("all firmware together has more than %d bytes", maxAllFirmware)
			}
			for _, name := range names {
				out[name] = body
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// listFirmware returns, for each regular file of the package that is needed, the
// names by which drivers ask for it: its own, and those of links that lead to it.
func listFirmware(ctx context.Context, p source, wanted []string) (map[string][]string, error) {
	links := map[string]string{} // path → path
	regular := map[string]bool{}
	err := p.walk(ctx, func(f xbps.File, _ io.Reader) error {
		if !strings.HasPrefix(f.Path, firmwareDir) {
			return nil
		}
		switch {
		case f.Link != "":
			links[f.Path] = f.Link
		case f.Target != "":
			links[f.Path] = path.Join(path.Dir(f.Path), f.Target)
		case f.Mode.IsRegular():
			regular[f.Path] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, file := range slices.Sorted(maps.Keys(mergeKeys(links, regular))) {
		name := strings.TrimPrefix(file, firmwareDir)
		for _, suffix := range []string{".zst", ".xz"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if !slices.ContainsFunc(wanted, func(pattern string) bool { return sameFirmware(pattern, name) }) {
			continue
		}
		for range maxLinks {
			next, ok := links[file]
			if !ok {
				break
			}
			file = next
		}
		if regular[file] {
			found[file] = append(found[file], name)
		}
	}
	return found, nil
}

const (
	firmwareDir = "usr/lib/firmware/"
	maxLinks    = 8 // one after the other; a circle ends here too
)

func mergeKeys(links map[string]string, regular map[string]bool) map[string]bool {
	all := maps.Clone(regular)
	for file := range links {
		all[file] = true
	}
	return all
}
