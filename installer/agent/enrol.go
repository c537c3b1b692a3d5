package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"provision.internal/installer"
)

// Enrolment is the first boot of an installed system. Every part may be cut off
// by a loss of power and is done again at the next boot: the key is kept once
// it is written, and the appliance accepts the used token from the key that
// used it. All fields must be set.
type Enrolment struct {
	System *System
	Log    *Log
	// SetTime sets the clock from the appliance at url.
	SetTime func(ctx context.Context, url string) error
}

// Between attempts while the appliance is away, and after it has refused: an
// operator may mend that without touching the machine.
const (
	enrolPauseMost = 30 * time.Second
	refusedPause   = 10 * time.Minute
)

// NewEnrolment returns the Enrolment of this machine.
func NewEnrolment() *Enrolment {
	sys, log := Machine(), &Log{Console: os.Stdout}
	return &Enrolment{System: sys, Log: log, SetTime: func(ctx context.Context, url string) error {
		return setTime(ctx, sys, log, url)
	}}
}

// Run enrols, however long it takes, and removes its own service at the end.
func (e *Enrolment) Run(ctx context.Context) error {
	config, done, err := e.config()
	if err != nil || done {
		return errors.Join(err, e.removeService(done))
	}
	client, err := NewClient(config.URL, []byte(config.CA))
	if err != nil {
		return err
	}
	for pause := time.Second; ; pause = min(2*pause, enrolPauseMost) {
		err := e.once(ctx, client, config)
		if err == nil {
			return e.finish()
		}
		if errors.Is(err, errFinal) {
			pause = refusedPause
		}
		e.Log.Say("enrol: %v; once more in %s", err, pause)
		if err := e.System.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// config reads what the installer left. done means that an earlier boot was cut
// off after everything but the tidying up.
func (e *Enrolment) config() (c installer.EnrolConfig, done bool, err error) {
	b, err := os.ReadFile(e.System.path(installer.EnrolFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(e.System.path(installer.EnrolledMark)); e == nil {
			return c, true, nil
		}
		return c, false, fmt.Errorf("%w: install this host again with provision reinstall", err)
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, false, fmt.Errorf("read %s: %w: install this host again with provision reinstall", installer.EnrolFile, err)
	}
	return c, false, nil
}

// once goes through everything that needs the appliance.
func (e *Enrolment) once(ctx context.Context, client *Client, c installer.EnrolConfig) error {
	if err := e.SetTime(ctx, c.HTTP); err != nil {
		return err
	}
	key, err := e.key()
	if err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: c.Host},
		DNSNames: []string{c.Host},
	}, key)
	if err != nil {
		return fmt.Errorf("make the certificate request: %w", err)
	}
	var answer installer.Enrolled
	err = client.Post(ctx, installer.EnrolPrefix+installer.EnrolPath, installer.Enrol{
		Token:   c.Token,
		Host:    c.Host,
		Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})),
	}, &answer)
	if err != nil {
		return err
	}
	if err := e.place(answer); err != nil {
		return err
	}
	if err := e.identify(); err != nil {
		return err
	}
	if err := e.enableNomad(); err != nil {
		return err
	}
	return client.Post(ctx, installer.EnrolPrefix+installer.StatusPath, installer.Status{
		Token: c.Token,
		Host:  c.Host,
		Lines: []string{"first boot: enrolled; " + installer.NomadService + " is enabled"},
		Done:  true,
	}, nil)
}

// key returns the machine's own key, made at the first call and never sent.
func (e *Enrolment) key() (*ecdsa.PrivateKey, error) {
	name := e.System.path(installer.HostKey)
	b, err := os.ReadFile(name)
	if err == nil {
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, fmt.Errorf("%s is no PEM file: move it away, and a new key is made", installer.HostKey)
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: move it away, and a new key is made", installer.HostKey, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := os.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	return key, writeFile(name, 0o600, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// place writes the appliance's answer.
func (e *Enrolment) place(answer installer.Enrolled) error {
	files := append([]installer.File{
		{Path: installer.HostCertificate, Content: answer.Certificate},
		{Path: installer.HostCA, Content: answer.CA},
	}, answer.Files...)
	for _, f := range files {
		mode := fs.FileMode(f.Mode).Perm()
		if mode == 0 {
			mode = 0o644
		}
		if err := writeFile(e.System.path(inside(f.Path)), mode, []byte(f.Content)); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

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

// enableNomad links Nomad's service; runsvdir starts it within five seconds. It
// is the last thing that changes the system: Nomad reads its configuration and
// introduction token when it starts, and only then.
func (e *Enrolment) enableNomad() error {
	link := e.System.path(installer.EnabledDir, installer.NomadService)
	if err := os.MkdirAll(path.Dir(link), 0o755); err != nil {
		return err
	}
	err := os.Symlink(path.Join(installer.ServiceDir, installer.NomadService), link)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("enable %s: %w", installer.NomadService, err)
	}
	return syncDir(path.Dir(link))
}

// finish leaves the mark, then removes the token, then the service: in this
// order, power may go between any two.
func (e *Enrolment) finish() error {
	mark := e.System.path(installer.EnrolledMark)
	if err := writeFile(mark, 0o644, []byte(time.Now().UTC().Format(time.RFC3339)+"\n")); err != nil {
		return fmt.Errorf("leave the mark: %w", err)
	}
	config := e.System.path(installer.EnrolFile)
	if err := os.Remove(config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the token: %w", err)
	}
	if err := syncDir(path.Dir(config)); err != nil {
		return err
	}
	e.Log.Say("enrol: done")
	return e.removeService(true)
}

// removeService takes the service's own link away, upon which runsvdir stops it.
func (e *Enrolment) removeService(done bool) error {
	if !done {
		return nil
	}
	link := e.System.path(installer.EnabledDir, installer.FirstBootService)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the first-boot service: %w", err)
	}
	return syncDir(path.Dir(link))
}
