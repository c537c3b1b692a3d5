package agent

import (
	"fmt"
	"strconv"
	"strings"

	"provision.internal/installer"
)

// xbpsWatch reads what the programs of XBPS print (version 0.60; see testdata) and
// tells how far they are. A package counts three times: when it was fetched,
// unpacked and configured.
type xbpsWatch struct {
	told      func(text string, done, of int64)
	done, of  int64
	unpacking bool   // a package is being unpacked
	refused   string // why no repetition can help
}

var (
	// "18 packages will be downloaded:", and the same for what was fetched before.
	xbpsPlan = installer.Regexp(`^(\d+) packages? will be (downloaded|installed|updated|configured):$`)
	// "linux6.1-6.1.140_1.x86_64.xbps: [123MB 45%] 80MB/s ETA: 00m01s", once a second;
	// on a terminal with "[ 3%] ", the part of everything, in front.
	xbpsFetching = installer.Regexp(`^(?:\[ *\d+%\] )?(\S+_\d+)\.[^.\s]+\.xbps: \[(\S+) (\d+)%\] `)
	// "linux6.1-6.1.140_1.x86_64.xbps: 123MB [avg rate: 80MB/s]"
	xbpsFetched = installer.Regexp(`^(\S+_\d+)\.[^.\s]+\.xbps: \S+ \[avg rate: `)
	// "linux6.1-6.1.140_1: unpacking ..."
	xbpsAction = installer.Regexp(`^(\S+_\d+): (verifying|unpacking|configuring|installed successfully|updated successfully)\b`)
)

// xbpsRefusals are parts of lines that will be the same at every repetition, with
// what they mean. Where they name no package, the lines before them do, which the
// command's error quotes.
var xbpsRefusals = []struct{ said, means string }{
	{"not found in repository pool", "the repositories lack a package"},
	{"Transaction aborted due to unresolved dependencies", "the repositories lack what a package depends on"},
	{"Transaction aborted due to unresolved shlibs", "the repositories lack a library that a package needs"},
	{"Transaction aborted due to conflicting packages", "two packages of the role exclude each other"},
	{"Transaction aborted due to insufficient disk space", "the disk is too small for the role's packages"},
	{"already installed by package", "two packages of the role have a file in common"},
}

// line takes one line. It reports whether the line is worth keeping: how far a
// transfer is tells nobody anything a second later.
func (w *xbpsWatch) line(s string) bool {
	for _, r := range xbpsRefusals {
		if strings.Contains(s, r.said) {
			w.refused = r.means + ": " + strings.TrimSuffix(strings.TrimPrefix(s, "ERROR: "), ".")
			return true
		}
	}
	if m := xbpsPlan().FindStringSubmatch(s); m != nil {
		w.plan(m[1], m[2])
		return true
	}
	if m := xbpsFetching().FindStringSubmatch(s); m != nil {
		w.tell("fetching %s: %s%% of %s", m[1], m[3], m[2])
		return false
	}
	if m := xbpsFetched().FindStringSubmatch(s); m != nil {
		w.done++
		w.tell("fetched %s", m[1])
		return true
	}
	if m := xbpsAction().FindStringSubmatch(s); m != nil {
		w.act(m[1], m[2])
	}
	return !strings.Contains(s, ".sig2: ") && !strings.Contains(s, " ETA: ") // of an index
}

// plan adds what the program is about to do.
func (w *xbpsWatch) plan(number, action string) {
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return // more packages than there are
	}
	if action == "installed" || action == "updated" {
		n *= 2 // unpacked and configured
	}
	w.of += n
}

func (w *xbpsWatch) act(pkgver, action string) {
	if w.unpacking && action != "verifying" {
		w.done++
		w.unpacking = false
	}
	switch action {
	case "unpacking":
		w.unpacking = true
	case "installed successfully", "updated successfully":
		w.done++
		action = "installed"
	}
	w.tell("%s %s", action, pkgver)
}

func (w *xbpsWatch) tell(format string, args ...any) {
	w.told(fmt.Sprintf(format, args...), min(w.done, w.of), w.of)
}
