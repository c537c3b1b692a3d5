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
	"strings"
	"time"

	"provision.internal/installer"
)

// Enrolment takes an installed system from its first boot into the cluster, stage
// by stage. Every part may be cut off by a loss of power and is done again at the
// next boot: the key is kept once it is written, the appliance accepts the used
// token from the key that used it, and a stage counts as reached when Nomad has
// been started with its files. System, Log and SetTime must be set.
type Enrolment struct {
	System *System
	Log    *Log
	// SetTime sets the clock from the appliance at url.
	SetTime func(ctx context.Context, url string) error

	waits string // what the appliance said last that it waits for
}

// Between attempts while the appliance is away, and after it has refused: an
// operator may mend that without touching the machine.
const (
	enrolPauseMost = 30 * time.Second
	refusedPause   = 10 * time.Minute
	// An appliance that has nothing new holds the answer. One that does not is not
	// asked more often than this.
	idlePause = 5 * time.Second
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
	pause, timed := time.Second, false // timed: the clock is right
	for {
		done, err := false, error(nil)
		if !timed {
			err = e.SetTime(ctx, config.HTTP)
		}
		if err == nil {
			timed = true
			done, err = e.once(ctx, client, config)
		}
		rest := pause
		switch {
		case done && err == nil:
			return e.finish()
		case err == nil:
			pause = time.Second
			continue
		case errors.Is(err, errIdle):
			rest = idlePause
		case errors.Is(err, errFinal):
			rest = refusedPause
		default:
			pause = min(2*pause, enrolPauseMost)
		}
		if !errors.Is(err, errIdle) {
			timed = false
			e.Log.Say("enrol: %v; once more in %s", err, rest)
		}
		if err := e.System.Wait(ctx, rest); err != nil {
			return err
		}
	}
}

// errIdle means that the appliance had nothing new and said so at once.
var errIdle = errors.New("nothing new")

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

// once asks for the next stage and goes there. done means that the host is a
// member, and that the appliance knows.
func (e *Enrolment) once(ctx context.Context, client *Client, c installer.EnrolConfig) (done bool, err error) {
	proof, err := e.request(c.Host)
	if err != nil {
		return false, err
	}
	has, err := e.stage()
	if err != nil {
		return false, err
	}
	if has != installer.StageMember {
		began := time.Now()
		var answer installer.Enrolled
		err := client.Post(ctx, installer.EnrolPrefix+installer.EnrolPath, installer.Enrol{Token: c.Token, Host: c.Host, Request: proof, Stage: has}, &answer)
		switch {
		case err != nil:
			return false, explain(err, client.URL)
		case answer.Stage != has:
			if err := e.enter(answer); err != nil {
				return false, err
			}
			has = answer.Stage
		case time.Since(began) < idlePause:
			e.hear(answer.Waits)
			return false, errIdle
		default:
			e.hear(answer.Waits)
			return false, nil
		}
	}
	done = has == installer.StageMember
	return done, client.Post(ctx, installer.EnrolPrefix+installer.StatusPath, installer.Status{
		Token: c.Token, Host: c.Host, Request: proof,
		Lines: []string{fmt.Sprintf("first boot: %s is enabled with the files of stage %s", installer.NomadService, has)},
		Done:  done,
	}, nil)
}

// request is a certificate request in PEM for the machine's own key, which it
// proves to have.
func (e *Enrolment) request(name string) (string, error) {
	key, err := e.key()
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: name},
		DNSNames: []string{name},
	}, key)
	if err != nil {
		return "", fmt.Errorf("make the certificate request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// hear tells what the appliance waits for, once.
func (e *Enrolment) hear(waits string) {
	if waits != "" && waits != e.waits {
		e.Log.Say("enrol: %s", waits)
	}
	e.waits = waits
}

// explain says what can be done about an appliance that cannot prove itself.
func explain(err error, url string) error {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s is not the appliance that installed this host, or has lost its authority: put the folder authority of its state back from a backup, or install this host again (%w)", url, err)
	case clockIsOff(err):
		return fmt.Errorf("by this machine's clock, %s, the appliance's certificate is not valid: see that the appliance's own clock is right, from which this one is set (%w)", time.Now().UTC().Format(time.RFC3339), err)
	}
	return err
}

// enter goes to the answer's stage.
func (e *Enrolment) enter(answer installer.Enrolled) error {
	if err := e.place(answer); err != nil {
		return err
	}
	if err := e.identify(); err != nil {
		return err
	}
	if err := e.startNomad(); err != nil {
		return err
	}
	// Last: who is cut off before has Nomad started once more.
	if err := writeFile(e.System.path(installer.StageFile), 0o644, []byte(answer.Stage+"\n")); err != nil {
		return fmt.Errorf("remember the stage: %w", err)
	}
	e.Log.Say("enrol: stage %s", answer.Stage)
	return nil
}

// stage is the one that the host has.
func (e *Enrolment) stage() (installer.Stage, error) {
	b, err := os.ReadFile(e.System.path(installer.StageFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return installer.Stage(strings.TrimSpace(string(b))), nil
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
