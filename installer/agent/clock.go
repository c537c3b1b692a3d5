package agent

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// clockTolerance is how far the clock may be off before it is set: the Date
// header has whole seconds.
const clockTolerance = 3 * time.Second

// applianceTime asks the appliance's plain HTTP server for the time, because no
// certificate can be checked by a clock that stands at 1970. Whoever lies here
// can only make the pinned handshake fail.
func applianceTime(ctx context.Context, url string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := (&http.Transport{}).RoundTrip(req) // any status will do; redirects are not followed
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the time: %w", url, err)
	}
	resp.Body.Close()
	t, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s told no time: %w", url, err)
	}
	return t, nil
}

// setClock sets the system's clock to t if it is off; it reports whether.
func setClock(t time.Time) (bool, error) {
	if d := time.Until(t); d > -clockTolerance && d < clockTolerance {
		return false, nil
	}
	tv := unix.NsecToTimeval(t.UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		return false, os.NewSyscallError("settimeofday", err)
	}
	return true, nil
}
