package httpboot

import (
	"bytes"
	"embed"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
)

//go:embed scripts
var scripts embed.FS

var (
	ipxeScripts = template.Must(template.ParseFS(scripts, "scripts/*.ipxe"))
	grubScripts = template.Must(template.ParseFS(scripts, "scripts/*.grub"))
)

// Names of the images in their URLs. iPXE gives the initrd its name, under which
// the kernel's EFI stub finds it; GRUB and BIOS ignore it.
const (
	kernelName = "vmlinuz"
	initrdName = "installer.img"
)

const (
	attempts    = 5
	lingerPause = 2 * time.Second
)

// installScript is what the install templates get: words and numbers.
type installScript struct {
	MAC, Host        word
	Kernel, Initrd   word
	InitrdName, Args word
	Attempts, Pause  int
}

// newInstallScript fails when a value cannot be written in a script.
func newInstallScript(h host.Host, base string, kit Kit) (installScript, error) {
	s := installScript{InitrdName: initrdName, Attempts: attempts, Pause: jitter(h.MAC)}
	for _, v := range []struct {
		into *word
		text string
		make func(string) (word, error)
	}{
		{&s.MAC, h.MAC.String(), newWord},
		{&s.Host, h.Label(), newWord},
		{&s.Kernel, boot.ImageURL(base, kit.Kernel, kernelName), newWord},
		{&s.Initrd, boot.ImageURL(base, kit.Initrd, initrdName), newWord},
		{&s.Args, kit.arguments(h.MAC, base), newWords},
	} {
		var err error
		if *v.into, err = v.make(v.text); err != nil {
			return s, fmt.Errorf("script of %s: %w", h.Label(), err)
		}
	}
	return s, nil
}

// arguments is the kernel's command line. With "auto" upstream's autoinstaller
// runs, and root=vai tells dracut that the root is taken care of. When its init
// ends nevertheless, the kernel restarts the machine, which would else stand still
// for ever; the network's boot comes first, and the appliance has its say.
func (k Kit) arguments(mac host.MAC, base string) string {
	args := "provision.mac=" + dashed(mac)
	if k.Autoinstall {
		args += " auto autourl=" + boot.AutoinstallURL(base, mac) + " root=vai panic=60"
	}
	return args + " " + k.Cmdline
}

// selfScript is what scripts get that send the machine back for another one.
type selfScript struct {
	MAC, Self           word
	Pause, Waited, Left int
}

func newSelfScript(mac host.MAC, base string, waited, linger time.Duration) (selfScript, error) {
	s := selfScript{
		MAC:    word(mac.String()),
		Pause:  int(lingerPause.Seconds()),
		Waited: int((waited + lingerPause).Seconds()),
		Left:   int((linger - waited).Seconds()),
	}
	var err error
	s.Self, err = newWord(boot.ScriptURL(base, mac))
	return s, err
}

// jitter spreads retries of machines that were powered on together over several
// seconds, always the same for one machine.
func jitter(mac host.MAC) int { return 2 + int(mac[5])%7 }

func dashed(mac host.MAC) string { return strings.ReplaceAll(mac.String(), ":", "-") }

// grubFile is the URL of base's server as GRUB writes it: (http,HOST:PORT)/path.
func grubFile(rawURL string) (word, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	at, err := newWord(u.Host)
	if err != nil {
		return "", err
	}
	path, err := newWord(u.Path)
	if err != nil {
		return "", err
	}
	return "(http," + at + ")" + path, nil
}

func render(t *template.Template, name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}
