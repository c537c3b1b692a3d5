package router

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a release of RouterOS. Test releases count as their number.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads "7.24.2 (stable)", "7.20rc3 (testing)" and "7.18".
func ParseVersion(s string) (Version, error) {
	number, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	if at := strings.IndexFunc(number, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); at >= 0 {
		number = number[:at]
	}
	var v Version
	parts := strings.Split(number, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Version{}, fmt.Errorf("%q is no version of RouterOS such as 7.24.2", s)
	}
	for i, field := range []*int{&v.Major, &v.Minor, &v.Patch}[:len(parts)] {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil {
			return Version{}, fmt.Errorf("%q is no version of RouterOS such as 7.24.2", s)
		}
		*field = int(n)
	}
	return v, nil
}

// Before reports whether v is older than MAJOR.MINOR.PATCH.
func (v Version) Before(major, minor, patch int) bool {
	switch {
	case v.Major != major:
		return v.Major < major
	case v.Minor != minor:
		return v.Minor < minor
	}
	return v.Patch < patch
}

// String is "7.24.2", or "7.18" for a first release.
func (v Version) String() string {
	if v.Patch == 0 {
		return fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}
