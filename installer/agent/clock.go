package agent

import (
	"context"
	"crypto/x509"
	"errors"
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

// clockIsOff reports whether err says that the appliance's certificate is not
// valid at what this machine believes to be now.
func clockIsOff(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// correctClock sets the clock unless it is nearly at now. A zero now is not known.
func (s *System) correctClock(log *Log, now time.Time) error {
	if d := time.Until(now); now.IsZero() || d > -clockTolerance && d < clockTolerance {
		return nil
	}
	if err := s.Clock(now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	log.Say("the clock was off; it is %s now", now.UTC().Format(time.RFC3339))
	return nil
}

func setClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return os.NewSyscallError("settimeofday", unix.Settimeofday(&tv))
}
