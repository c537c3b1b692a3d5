package httpboot

import (
	"bytes"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"time"

	"provision.internal/boot"
)

// firstScript is what first.grub gets.
type firstScript struct {
	Scripts word // the URL below which GRUB finds its script by MAC
	Pause   int
}

// firstConfig is GRUB's first configuration. GRUB has our loader from TFTP or
// HTTP and looks there for what to do, by a name that is the same for all
// machines.
func (s *Server) firstConfig() ([]byte, error) {
	at, err := grubFile(s.HTTP + boot.GRUBPath)
	if err != nil {
		return nil, err
	}
	return render(grubScripts, "first.grub", firstScript{Scripts: at, Pause: int(lingerPause.Seconds())})
}

// first serves the configuration to a GRUB that came by UEFI HTTP boot.
func (s *Server) first(w http.ResponseWriter, _ *http.Request) error {
	b, err := s.firstConfig()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, err = w.Write(b)
	return err
}

// TFTP returns what machines get by TFTP: the loaders, and GRUB's first
// configuration.
func (s *Server) TFTP() (fs.FS, error) {
	config, err := s.firstConfig()
	return tftpFiles{loaders: s.Loaders, config: config, made: s.Now()}, err
}

type tftpFiles struct {
	loaders fs.FS
	config  []byte
	made    time.Time
}

// Open implements fs.FS.
func (t tftpFiles) Open(name string) (fs.File, error) {
	if name != boot.GRUBConfig {
		return t.loaders.Open(name)
	}
	return configFile{bytes.NewReader(t.config), t.made}, nil
}

// configFile is an open file, and what is known of it.
type configFile struct {
	*bytes.Reader
	made time.Time
}

func (f configFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f configFile) Close() error               { return nil }
func (f configFile) Name() string               { return path.Base(boot.GRUBConfig) }
func (f configFile) Mode() fs.FileMode          { return 0o444 }
func (f configFile) ModTime() time.Time         { return f.made }
func (f configFile) IsDir() bool                { return false }
func (f configFile) Sys() any                   { return nil }
