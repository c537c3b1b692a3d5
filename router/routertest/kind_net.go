package routertest

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// netKinds are the kinds without arguments that hold addresses and times.
var netKinds = map[string]kind{
	"ip":       addressKind{},
	"ip-name":  addressKind{orName: true},
	"prefix":   prefixKind{},
	"network":  prefixKind{masked: true},
	"subnet":   prefixKind{masked: true, short: true},
	"ip-range": spanKind{},
	"mac":      macKind{},
	"time":     timeKind{},
	"clock":    clockKind{},
	"date":     dateKind{},
	"hex":      hexKind{},
}

// addressKind takes an IP address, with orName also a name of a host.
type addressKind struct {
	plain
	orName bool
}

func (k addressKind) parse(_ *Router, name, text string) (string, error) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		if k.orName && text != "" && !strings.ContainsAny(text, " /") {
			return text, nil
		}
		return "", badValue(name)
	}
	return address.String(), nil
}

// prefixKind takes an address with the length of its prefix; without one it
// is that address alone. masked clears the host's bits; short leaves /32 out,
// as address lists do.
type prefixKind struct {
	plain
	masked, short bool
}

func (k prefixKind) parse(_ *Router, name, text string) (string, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return "", badValue(name)
		}
		p = netip.PrefixFrom(address, address.BitLen())
	}
	if k.masked {
		p = p.Masked()
	}
	if k.short && p.IsSingleIP() {
		return p.Addr().String(), nil
	}
	return p.String(), nil
}

// spanKind takes FROM-TO, a prefix, or one address.
type spanKind struct{ plain }

func (spanKind) parse(r *Router, name, text string) (string, error) {
	low, high, span := strings.Cut(text, "-")
	if !span {
		return prefixKind{masked: true, short: true}.parse(r, name, text)
	}
	from, errFrom := netip.ParseAddr(low)
	to, errTo := netip.ParseAddr(high)
	if errFrom != nil || errTo != nil || to.Less(from) {
		return "", trap(categoryArgument, "value of %s must be a range of ip addresses", name)
	}
	if from == to {
		return from.String(), nil
	}
	return from.String() + "-" + to.String(), nil
}

// macKind takes a MAC address and shows it in upper case.
type macKind struct{ plain }

func (macKind) parse(_ *Router, name, text string) (string, error) {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 {
		return "", badValue(name)
	}
	return strings.ToUpper(mac.String()), nil
}

// timeKind takes an interval, as 1h30m, 90, 01:30:00 or 1d 02:00:00, and shows
// it as 1h30m.
type timeKind struct{ plain }

func (timeKind) parse(_ *Router, name, text string) (string, error) {
	written := strings.ReplaceAll(text, " ", "")
	if strings.Trim(written, "0123456789") == "" {
		written += "s"
	}
	d, ok := parseDuration(written)
	if !ok {
		return "", trap(categoryArgument, "invalid time value for argument %s", name)
	}
	return formatDuration(d), nil
}

// clockKind takes a time of day; "startup" is among the words of its property.
type clockKind struct{ plain }

func (clockKind) parse(_ *Router, name, text string) (string, error) {
	t, err := time.Parse(time.TimeOnly, text)
	if err != nil {
		return "", badValue(name)
	}
	return t.Format(time.TimeOnly), nil
}

// dateKind takes a date as 2026-01-31, or as jan/31/2026 of older releases.
type dateKind struct{ plain }

func (dateKind) parse(_ *Router, name, text string) (string, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t, err = time.Parse("Jan/02/2006", text)
	}
	if err != nil {
		return "", badValue(name)
	}
	return t.Format(time.DateOnly), nil
}

// hexKind takes bytes with colons between, as client ids have: 1:52:54:0:aa:bb:cc.
type hexKind struct{ plain }

func (hexKind) parse(_ *Router, name, text string) (string, error) {
	for part := range strings.SplitSeq(text, ":") {
		if _, err := strconv.ParseUint(part, 16, 8); err != nil {
			return "", badValue(name)
		}
	}
	return strings.ToLower(text), nil
}
