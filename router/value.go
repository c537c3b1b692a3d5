package router

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"provision.internal/host"
)

// form is how the values of a property are compared and shown: RouterOS writes
// the same value in several ways, by version and by who asks.
type form int

const (
	asText     form = iota
	asBool          // yes, true
	asDuration      // 1h, 01:00:00, 3600
	asSet           // a list whose order means nothing
	asList          // a list whose order does
	asMAC
	asRange  // 192.0.2.7, 192.0.2.7-192.0.2.7
	asPrefix // 192.0.2.7, 192.0.2.7/32
)

// forms are the properties that are not plain text, in whatever menu.
var forms = map[string]form{
	"add-default-route": asBool, "allow-remote-requests": asBool, "authoritative": asBool,
	"conflict-detection": asBool, "disabled": asBool, "edge": asBool, "enabled": asBool, "force": asBool,
	"ingress-filtering": asBool, "log": asBool, "vlan-filtering": asBool,
	"hold-time": asDuration, "keepalive-time": asDuration, "lease-time": asDuration,
	"connection-state": asSet, "options": asSet, "output.redistribute": asSet, "tagged": asSet, "vlan-ids": asSet,
	"dhcp-server": asList, "dns-server": asList, "servers": asList,
	"mac-address": asMAC,
	"ranges":      asRange,
	"dst-address": asPrefix, "local-address": asPrefix, "remote.address": asPrefix, "src-address": asPrefix, "to-addresses": asPrefix,
}

// formOf is the form of a property in a menu.
func formOf(menu, property string) form {
	switch {
	case menu == "/ip/service" && property == "address":
		return asSet
	case menu == "/ip/route" && property == "dst-address":
		return asText // a host's route keeps its /32
	}
	return forms[property]
}

// Canonical is a value of a menu's property in the one way in which values are
// compared and shown: the router writes the same in several ways. What is not set
// is "", or what RouterOS means by leaving the property out.
func Canonical(menu, property, value string) string {
	value = strings.TrimSpace(value)
	switch formOf(menu, property) {
	case asBool:
		switch value {
		case "true":
			return "yes"
		case "false", "":
			return "no"
		}
	case asDuration:
		if d, ok := parseDuration(value); ok {
			return formatDuration(d)
		}
	case asSet:
		parts := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(parts)
		return strings.Join(slices.Compact(parts), ",")
	case asList:
		return strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }), ",")
	case asMAC:
		if m, err := host.ParseMAC(value); err == nil {
			return strings.ToUpper(m.String())
		}
	case asRange:
		if from, to, ok := strings.Cut(value, "-"); ok && from == to {
			return from
		}
	case asPrefix:
		return strings.TrimSuffix(value, "/32")
	default:
		if property == "type" && value == "" {
			return "A" // of a static name: RouterOS leaves it out
		}
	}
	return value
}

// spelled is a value of the router's as people see it and as it is given back:
// canonical, but for the order of a list.
func spelled(menu, property, value string) string {
	if formOf(menu, property) == asSet {
		return value
	}
	return Canonical(menu, property, value)
}

// same reports whether two values of a property mean the same.
func same(menu, property, a, b string) bool {
	return a == b || Canonical(menu, property, a) == Canonical(menu, property, b)
}

// durationUnits are in the order in which RouterOS writes them.
var durationUnits = []struct {
	name string
	unit time.Duration
}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// longestTime bounds what is read: more would overflow.
const longestTime = 200 * 365 * 24 * time.Hour

// parseDuration reads "1h", "1w2d03:04:05", "00:00:30", "1m30s", "500ms" and
// "3600", which are seconds.
func parseDuration(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var total time.Duration
	for s != "" {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		if rest := s[digits:]; rest == "" || rest[0] == ':' {
			clock, ok := parseClock(s)
			return total + clock, ok && clock <= longestTime-total
		}
		n, err := strconv.ParseUint(s[:digits], 10, 31)
		if err != nil {
			return 0, false
		}
		s = s[digits:]
		unit := s[:len(s)-len(strings.TrimLeft(s, "wdhms"))]
		known := false
		for _, u := range durationUnits {
			if u.name == unit && time.Duration(n) <= (longestTime-total)/u.unit {
				total, known = total+time.Duration(n)*u.unit, true
			}
		}
		if !known {
			return 0, false
		}
		s = s[len(unit):]
	}
	return total, true
}

// parseClock reads "03:04:05", "04:05" and plain seconds.
func parseClock(s string) (time.Duration, bool) {
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		return 0, false
	}
	var seconds uint64
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 31)
		if err != nil {
			return 0, false
		}
		seconds = seconds*60 + n
	}
	return time.Duration(seconds) * time.Second, seconds <= uint64(longestTime/time.Second)
}

// formatDuration writes d as RouterOS does: 1w2d, 1h30m, 30s.
func formatDuration(d time.Duration) string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits {
		if n := d / u.unit; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.unit
		}
	}
	return b.String()
}

// yesNo is a bool as RouterOS takes it.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// join is a list as RouterOS takes it.
func join[T interface{ String() string }](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

// addr is an address as RouterOS takes it; nothing for none.
func addr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
