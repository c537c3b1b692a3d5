package installer

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"provision.internal/host"
)

// ErrDisk is wrapped when no disk can be chosen; the message lists the disks.
var ErrDisk = errors.New("no disk chosen")

// Rule says which of a machine's disks is meant. Its zero value means the only
// one. Kernel names (sda) are no rule: they change between boots.
type Rule struct {
	kind  string // "", serial, wwn, path, model, smallest, largest
	value string // with the first four kinds; a pattern with * and ? for model
	over  uint64 // bytes; only larger disks count
	under uint64 // bytes; only smaller ones, 0 means no bound
}

// ParseRule reads a rule:
//
//	serial:S4XYZ123  wwn:naa.5002538e4  path:pci-0000:00:1f.2-ata-1  model:Samsung*
//	smallest  largest  smallest over 100 GB  largest under 2 TB
//
// and nothing at all for the machine's only disk.
func ParseRule(text string) (Rule, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Rule{}, nil
	}
	if kind, value, ok := strings.Cut(text, ":"); ok && slices.Contains([]string{"serial", "wwn", "path", "model"}, kind) {
		value = strings.TrimSpace(value)
		if value == "" {
			return Rule{}, fmt.Errorf("%q has nothing after the colon", text)
		}
		if _, err := path.Match(value, ""); kind == "model" && err != nil {
			return Rule{}, fmt.Errorf("%q is no pattern: use * and ? only", value)
		}
		return Rule{kind: kind, value: value}, nil
	}
	words := strings.Fields(text)
	r := Rule{kind: words[0]}
	ok := r.kind == "smallest" || r.kind == "largest"
	if ok && len(words) > 2 && (words[1] == "over" || words[1] == "under") {
		size, err := parseSize(strings.Join(words[2:], ""))
		if err != nil {
			return Rule{}, err
		}
		if words[1] == "over" {
			r.over = size
		} else {
			r.under = size
		}
		return r, nil
	}
	if !ok || len(words) != 1 {
		return Rule{}, fmt.Errorf("%q is no rule: want serial:…, wwn:…, path:…, model:…, smallest, largest, or one of these two with over or under and a size, such as smallest over 100 GB", text)
	}
	return r, nil
}

// parseSize reads sizes as they are printed on disks: decimal units, and the
// binary ones when they are written so.
func parseSize(text string) (uint64, error) {
	units := []struct {
		name  string
		bytes uint64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n == 0 {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is no size: want a whole number with MB, GB or TB (or MiB, GiB, TiB)", text)
}

// ParseDisks reads what a role says about its disks: one rule, or one for each
// half of a mirror with "and" between them.
func ParseDisks(text string) ([]Rule, error) {
	var rules []Rule
	for part := range strings.SplitSeq(text, " and ") {
		r, err := ParseRule(part)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// Choose returns the one disk that r means. A rule that fits several disks
// equally well, or none, is an error that lists what there is: a guess would
// wipe somebody's data. A disk with a foreign signature is never passed over in
// favour of another one, but refused, unless foreign says that the operator has
// named it.
func (r Rule) Choose(disks []host.Disk, foreign bool) (host.Disk, error) {
	found, err := r.choose(disks, 1)
	if err == nil {
		err = mayInstall(found, disks, foreign)
	}
	if err != nil {
		return host.Disk{}, err
	}
	return found[0], nil
}

// ChooseMirror returns the two disks that rules mean: one rule that fits two, or
// two rules that fit one each. It refuses whatever Choose refuses, for either.
func ChooseMirror(rules []Rule, disks []host.Disk, foreign bool) ([]host.Disk, error) {
	found, err := rules[0].choose(disks, 3-len(rules))
	if err == nil && len(rules) == 2 {
		var second []host.Disk
		second, err = rules[1].choose(disks, 1)
		found = append(found, second...)
	}
	if err == nil && found[0] == found[1] {
		err = refuse(disks, "both rules mean the same disk, "+found[0].Name)
	}
	if err == nil {
		err = mayInstall(found, disks, foreign)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

// choose returns the n disks that r means.
func (r Rule) choose(disks []host.Disk, n int) ([]host.Disk, error) {
	fit := slices.Clone(disks)
	fit = slices.DeleteFunc(fit, func(d host.Disk) bool { return !r.fits(d) })
	if len(fit) > n && (r.kind == "smallest" || r.kind == "largest") {
		slices.SortStableFunc(fit, bySize)
		if r.kind == "largest" {
			slices.Reverse(fit)
		}
		if fit[n-1].Size != fit[n].Size {
			fit = fit[:n]
		}
	}
	switch {
	case len(disks) == 0:
		return nil, fmt.Errorf("%w: the machine shows no disk: is the controller's driver in the installer's kernel, and the disk plugged in?", ErrDisk)
	case len(fit) == 0:
		return nil, refuse(disks, "none fits "+r.String())
	case len(fit) < n:
		return nil, refuse(disks, fmt.Sprintf("a mirror needs two disks, and only %s fits %s", fit[0].Name, r))
	case len(fit) > n && r.kind == "":
		return nil, refuse(disks, "there are several and the role names none: set its key disk")
	case len(fit) > n:
		return nil, refuse(disks, "several fit "+r.String())
	}
	// Names of the kernel's change between boots; the order must not.
	slices.SortStableFunc(fit, func(a, b host.Disk) int { return strings.Compare(a.ID(), b.ID()) })
	return fit, nil
}

// mayInstall applies to each of the chosen disks what protects data.
func mayInstall(chosen, disks []host.Disk, foreign bool) error {
	for _, d := range chosen {
		same := func(o host.Disk) bool { return o.ID() == d.ID() }
		switch first := slices.IndexFunc(disks, same); {
		case d.ID() == "":
			return refuse(disks, d.Name+" has no serial, WWN or path by which it could be recognised")
		case slices.ContainsFunc(disks[first+1:], same):
			return refuse(disks, "several share the serial "+d.ID())
		case d.Foreign != "" && !foreign:
			return refuse(disks, fmt.Sprintf("%s carries data of something else (%s): look at it, then name it in provision reinstall --disk %s",
				d.Name, d.Foreign, host.DiskIDs(chosen)))
		}
	}
	return nil
}

func refuse(disks []host.Disk, why string) error {
	return fmt.Errorf("%w: %s; the disks are: %s", ErrDisk, why, listDisks(disks))
}

func bySize(a, b host.Disk) int {
	switch {
	case a.Size < b.Size:
		return -1
	case a.Size > b.Size:
		return 1
	}
	return 0
}

// fits reports whether d is a candidate by itself.
func (r Rule) fits(d host.Disk) bool {
	switch r.kind {
	case "serial": // or what stands for it
		return d.ID() == r.value
	case "wwn":
		return d.WWN == r.value
	case "path":
		return d.Path == r.value
	case "model":
		ok, err := path.Match(r.value, d.Model)
		return ok && err == nil
	}
	return d.Size > r.over && (r.under == 0 || d.Size < r.under)
}

func (r Rule) String() string {
	switch {
	case r.kind == "":
		return "the only disk"
	case r.value != "":
		return r.kind + ":" + r.value
	case r.over > 0:
		return r.kind + " over " + sizeText(r.over)
	case r.under > 0:
		return r.kind + " under " + sizeText(r.under)
	}
	return r.kind
}

func sizeText(n uint64) string {
	switch {
	case n >= 1e12:
		return fmt.Sprintf("%.1f TB", float64(n)/1e12)
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func listDisks(disks []host.Disk) string {
	lines := make([]string, len(disks))
	for i, d := range disks {
		lines[i] = fmt.Sprintf("%s %s %q serial %q", d.Name, sizeText(d.Size), d.Model, d.ID())
		if d.Foreign != "" {
			lines[i] += " (" + d.Foreign + ")"
		}
	}
	return strings.Join(lines, ", ")
}
