package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"provision.internal/installer"
)

// identify makes the identity of the host's Nomad client. Nomad would make one
// itself, but it does not sync it, while it syncs what it knows of its node: a
// client that loses power soon after its first start comes back as another node,
// with the old one's credentials, and is refused for ever.
func (e *Enrolment) identify() error {
	for _, file := range []string{installer.NomadID, installer.NomadSecret} {
		name := e.System.path(file)
		switch b, err := os.ReadFile(name); {
		case err == nil && len(b) > 0:
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := os.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		if err := writeFile(name, 0o600, []byte(newUUID())); err != nil { // no final newline, as Nomad writes it
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	return nil
}

// newUUID returns a random one (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// startNomad enables Nomad's service, which runsvdir starts within five seconds,
// or starts it again. It comes after everything else that changes the system: Nomad
// reads its configuration and introduction token when it starts, and only then.
func (e *Enrolment) startNomad() error {
	link := e.System.path(installer.EnabledDir, installer.NomadService)
	if err := os.MkdirAll(path.Dir(link), 0o755); err != nil {
		return err
	}
	err := os.Symlink(path.Join(installer.ServiceDir, installer.NomadService), link)
	switch {
	case err == nil:
		return syncDir(path.Dir(link))
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("enable %s: %w", installer.NomadService, err)
	}
	if err := e.restartNomad(); err != nil {
		return fmt.Errorf("restart %s: %w", installer.NomadService, err)
	}
	return nil
}

// restartNomad does what "sv restart" does (runsv(8): terminate, continue, up).
// Written to runsv itself it needs no program, and tells a service that nobody
// runs yet, which reads the new files when it starts, from one that fails.
func (e *Enrolment) restartNomad() error {
	control := e.System.path(installer.ServiceDir, installer.NomadService, "supervise", "control")
	f, err := os.OpenFile(control, os.O_WRONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO): // no runsv, or none that reads
		return nil
	case err != nil:
		return err
	}
	_, err = f.WriteString("tcu")
	return errors.Join(err, f.Close())
}
