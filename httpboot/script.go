package httpboot

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/template"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
)

// script serves the iPXE script of a machine. Nothing that goes wrong may keep a
// machine from its disk: an error yields the disk's script.
func (s *Server) script(w http.ResponseWriter, r *http.Request) error {
	mac, err := host.ParseMAC(r.PathValue("mac"))
	if err != nil {
		return badRequest("%v", err)
	}
	name, data, why := s.chooseScript(r, mac)
	return s.sendScript(w, ipxeScripts, mac, name, "disk.ipxe", data, why)
}

// chooseScript returns the template, its data and the reason.
func (s *Server) chooseScript(r *http.Request, mac host.MAC) (name string, data any, why string) {
	h, err := s.host(r, mac)
	if err != nil {
		return "disk.ipxe", nil, s.unreadable(mac, err)
	}
	query := r.URL.Query()
	now := s.Now()
	if waited := waitedFor(query); waited < s.Linger && (h.State == "" || h.State == host.Seen) {
		if data, err := newSelfScript(mac, s.HTTP, waited, s.Linger); err == nil {
			return "linger.ipxe", data, "waits to be admitted"
		}
	}
	if !query.Has("platform") {
		// Ask only a machine that may be installed what it is. Its firmware knows
		// better than the DHCP server, whose notes may be a moment behind.
		switch step, why := boot.Next(boot.Client{MAC: mac, Platform: boot.BIOS}, h, now); step {
		case boot.Install:
		case boot.Wait:
			return s.waitScript(mac, why)
		default:
			return "disk.ipxe", nil, why
		}
		data, err := newSelfScript(mac, s.HTTP, 0, 0)
		if err != nil {
			return "disk.ipxe", nil, s.cannot(mac, err)
		}
		return "ask.ipxe", data, "admitted; asked what it is"
	}
	c := clientOf(mac, query)
	step, why := boot.Next(c, h, now)
	switch step {
	case boot.Install:
	case boot.Wait:
		return s.waitScript(mac, why)
	default:
		return "disk.ipxe", nil, why
	}
	kit, err := s.Kit(c.Platform)
	if errors.Is(err, ErrAssembling) {
		if data, err := newSelfScript(mac, s.HTTP, 0, 0); err == nil {
			return "wait.ipxe", data, "waits for the installer image"
		}
	}
	if err != nil {
		return "disk.ipxe", nil, s.cannot(mac, fmt.Errorf("no installer for %s: %w", c.Platform, err))
	}
	script, err := newInstallScript(h, s.HTTP, kit)
	if err != nil {
		return "disk.ipxe", nil, s.cannot(mac, err)
	}
	return "install.ipxe", script, why
}

// waitScript has a machine ask again, in whatever network its port is by then.
func (s *Server) waitScript(mac host.MAC, why string) (name string, data any, _ string) {
	data, err := newSelfScript(mac, s.HTTP, 0, 0)
	if err != nil {
		return "disk.ipxe", nil, s.cannot(mac, err)
	}
	return "port.ipxe", data, why
}

// unreadable is the reason for a disk's script when the store fails.
func (s *Server) unreadable(mac host.MAC, err error) string {
	s.Log.Error("read a host", "mac", mac, "err", err)
	return "the store cannot be read"
}

// cannot is the reason for a disk's script when a host shall be installed and
// something of the appliance's is missing: an operator waits for it.
func (s *Server) cannot(mac host.MAC, err error) string {
	why := "it cannot be installed: " + err.Error()
	s.notice(mac, "appliance", why)
	return why
}

// clientOf reads what iPXE says of itself: ${platform}, ${buildarch}, ${uuid}.
func clientOf(mac host.MAC, q url.Values) boot.Client {
	c := boot.Client{MAC: mac, IPXE: true, PXE: true}
	switch q.Get("platform") + " " + q.Get("arch") {
	case "pcbios i386", "pcbios x86_64":
		c.Platform = boot.BIOS
	case "efi x86_64":
		c.Platform = boot.UEFIx64
	case "efi arm64":
		c.Platform = boot.UEFIarm64
	}
	if uuid, err := host.ParseUUID(q.Get("uuid")); err == nil {
		c.UUID = uuid
	}
	return c
}

// waitedFor is how long the machine says that it has waited. Only its own time
// is at stake.
func waitedFor(q url.Values) time.Duration {
	n, err := strconv.ParseUint(q.Get("waited"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// grub serves the same decision to GRUB, which arm64 machines load.
func (s *Server) grub(w http.ResponseWriter, r *http.Request) error {
	mac, err := host.ParseMAC(r.PathValue("mac"))
	if err != nil {
		return badRequest("%v", err)
	}
	name, data, why := s.chooseGRUB(r, mac)
	return s.sendScript(w, grubScripts, mac, name, "disk.grub", data, why)
}

func (s *Server) chooseGRUB(r *http.Request, mac host.MAC) (name string, data any, why string) {
	h, err := s.host(r, mac)
	if err != nil {
		return "disk.grub", nil, s.unreadable(mac, err)
	}
	step, why := boot.Next(boot.Client{MAC: mac, PXE: true, Platform: boot.UEFIarm64}, h, s.Now())
	switch step {
	case boot.Install:
	case boot.Wait:
		return "port.grub", selfScript{MAC: word(mac.String()), Pause: jitter(mac)}, why
	default:
		return "disk.grub", nil, why
	}
	kit, err := s.Kit(boot.UEFIarm64)
	if errors.Is(err, ErrAssembling) {
		return "wait.grub", selfScript{MAC: word(mac.String()), Pause: jitter(mac)}, "waits for the installer image"
	}
	if err != nil {
		return "disk.grub", nil, s.cannot(mac, fmt.Errorf("no installer for %s: %w", boot.UEFIarm64, err))
	}
	script, err := newInstallScript(h, s.HTTP, kit)
	if err == nil {
		script.Kernel, err = grubFile(string(script.Kernel))
	}
	if err == nil {
		script.Initrd, err = grubFile(string(script.Initrd))
	}
	if err != nil {
		return "disk.grub", nil, s.cannot(mac, err)
	}
	return "install.grub", script, why
}

// host returns the machine that asks for a script; zero when it is not known. A
// machine whose disk is being written does not ask, so one that asks has
// rebooted in the middle and can only fail. Another machine cannot say that for
// it.
func (s *Server) host(r *http.Request, mac host.MAC) (host.Host, error) {
	h, err := s.Hosts.Host(mac)
	switch {
	case errors.Is(err, host.ErrUnknown):
		return host.Host{}, nil
	case err != nil || h.State != host.Installing || r.Method != http.MethodGet || !mayBe(h, r):
		return h, err
	}
	return s.Hosts.Change(mac, "firmware", "", func(h *host.Host) error { return s.interrupted(h) })
}

// mayBe reports whether r comes from the address that h has, as far as that is
// known.
func mayBe(h host.Host, r *http.Request) bool {
	return !h.Address.IsValid() || h.Address == remote(r)
}

// interrupted fails a host whose install was cut short.
func (s *Server) interrupted(h *host.Host) (err error) {
	if h.State != host.Installing {
		return nil // something else came first
	}
	at := ""
	if h.Progress.Step != "" {
		at = " at step " + h.Progress.Step
	}
	*h, err = h.Fail(fmt.Sprintf("it rebooted in the middle of the install%s; run provision reinstall %s", at, h.Label()), s.Now())
	h.Session = nil
	return err
}

// sendScript renders a script, or the fallback when that is not possible.
func (s *Server) sendScript(w http.ResponseWriter, t *template.Template, mac host.MAC, name, fallback string, data any, why string) error {
	b, err := render(t, name, data)
	if err != nil {
		name, why = fallback, err.Error()
		if b, err = render(t, fallback, nil); err != nil {
			return err
		}
	}
	s.tell(mac, name, why)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, err = w.Write(b)
	if s.Told != nil {
		s.Told(mac)
	}
	return err
}
