package routertest

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a RouterOS release, compared as numbers: 7.9 is before 7.18.
type version struct{ major, minor, patch int }

// parseVersion reads "7.24.2" or "7.18".
func parseVersion(text string) (version, error) {
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return version{}, fmt.Errorf("version %q: want MAJOR.MINOR or MAJOR.MINOR.PATCH", text)
	}
	var n [3]int
	for i, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil || v < 0 {
			return version{}, fmt.Errorf("version %q: %q is no number", text, part)
		}
		n[i] = v
	}
	return version{n[0], n[1], n[2]}, nil
}

// atLeast tells whether v is w or newer.
func (v version) atLeast(w version) bool {
	if v.major != w.major {
		return v.major > w.major
	}
	if v.minor != w.minor {
		return v.minor > w.minor
	}
	return v.patch >= w.patch
}

// Releases from which on the API differs.
var (
	emptyReplies   = version{7, 18, 0} // !empty where print finds nothing
	vlanTagsBridge = version{7, 16, 0} // a VLAN interface tags its bridge by itself
	addressVRF     = version{7, 20, 0} // /ip/address shows vrf [?]: seen on 7.23
	connectionRows = version{7, 19, 0} // /ip/service lists live connections
)
