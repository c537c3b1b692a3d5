package routertest

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// The units of a written time, in their order.
var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond},
}

var (
	unitForm  = regexp.MustCompile(`^(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?(?:(\d{1,9})us)?$`)
	clockForm = regexp.MustCompile(`^(?:(\d{1,9})w)?(?:(\d{1,9})d)?(\d{1,2}):(\d{2}):(\d{2})$`)
)

// parseDuration reads a time as the router takes it: 1w2d3h4m5s, 00:10:00,
// 1d00:10:00. A bare number is none.
func parseDuration(text string) (time.Duration, bool) {
	m := clockForm.FindStringSubmatch(text)
	if m == nil {
		m = unitForm.FindStringSubmatch(text)
	}
	if m == nil || text == "" {
		return 0, false
	}
	var d time.Duration
	for i, digits := range m[1:] {
		n, _ := strconv.Atoi(digits) // at most nine digits; 0 where the unit isn't there
		unit := durationUnits[i].unit
		if d > 1<<62-1-time.Duration(n)*unit || time.Duration(n) > (1<<62)/unit {
			return 0, false
		}
		d += time.Duration(n) * unit
	}
	return d, true
}

// formatDuration writes a time as print shows it through the API: 1d2h, 10s.
func formatDuration(d time.Duration) string {
	text := ""
	if d < 0 {
		text, d = "-", -d
	}
	for _, u := range durationUnits {
		if n := d / u.unit; n > 0 {
			text += fmt.Sprint(int64(n)) + u.name
			d -= n * u.unit
		}
	}
	if text == "" {
		return "0s"
	}
	return text
}
