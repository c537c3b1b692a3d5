package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	noise "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"provision.internal/xbps"
	"provision.internal/xbps/mirror"
)

// Folders below that of the boot files: the repository as a web server has it, the
// mirror's folder as our daemon has it after the first install, and the key.
const (
	siteFolder   = "void"
	mirrorFolder = "mirror"
	keyFolder    = "keys"

	benchSnapshot = "bench"
	benchRepo     = "@" + benchSnapshot + "/current"
	benchArch     = "x86_64"
)

// Sizes of packages: as many of each order of magnitude. Those of Void's base-system are
// about so, but for its largest.
const (
	smallestPackage = 2 << 10
	largestPackage  = 2 << 20
)

// makePackages makes a repository of n packages and mirrors it. It returns what a client that installs
// all of them asks for, in XBPS's order.
func makePackages(ctx context.Context, boot string, n int) ([]webFile, error) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		return nil, err
	}
	repo := filepath.Join(boot, siteFolder, benchRepo)
	if err := errors.Join(os.MkdirAll(repo, 0o755), os.Mkdir(filepath.Join(boot, keyFolder), 0o755)); err != nil {
		return nil, err
	}
	public := xbps.Key{Public: &key.PublicKey, SignedBy: "bench"}
	x := xbps.Index{Packages: map[string]xbps.Package{}, Key: &public}
	content := noise.NewChaCha8([32]byte{1})
	var names, wanted []string
	for i := range n {
		share := float64(i) / float64(max(n-1, 1))
		body := make([]byte, int(smallestPackage*math.Pow(largestPackage/smallestPackage, share)))
		content.Read(body)
		digest := sha256.Sum256(body)
		p := xbps.Package{
			Pkgver: fmt.Sprintf("package%d-1.0_1", i), Arch: benchArch,
			SHA256: hex.EncodeToString(digest[:]), Size: uint64(len(body)),
		}
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err == nil {
			err = errors.Join(
				os.WriteFile(filepath.Join(repo, p.File()), body, 0o644),
				os.WriteFile(filepath.Join(repo, p.File()+".sig2"), signature, 0o644),
			)
		}
		if err != nil {
			return nil, err
		}
		x.Packages[p.Name()] = p
		names, wanted = append(names, p.File()+".sig2", p.File()), append(wanted, p.Pkgver)
	}
	if err := writeRepository(boot, repo, &x, public); err != nil {
		return nil, err
	}
	var all []webFile
	for _, name := range append([]string{xbps.IndexName(benchArch)}, names...) {
		info, err := os.Stat(filepath.Join(repo, name))
		if err != nil {
			return nil, err
		}
		all = append(all, webFile{"/void/" + benchRepo + "/" + name, info.Size()})
	}
	return all, fillMirror(ctx, boot, xbps.Keys{public.Fingerprint(): public}, wanted)
}

func writeRepository(boot, repo string, x *xbps.Index, key xbps.Key) error {
	f, err := os.Create(filepath.Join(repo, xbps.IndexName(benchArch)))
	if err != nil {
		return err
	}
	if err := errors.Join(x.Write(f), f.Close()); err != nil {
		return err
	}
	name, text, err := key.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(boot, keyFolder, name), text, 0o644)
}

// fillMirror fetches all packages, as the first machine does.
func fillMirror(ctx context.Context, boot string, keys xbps.Keys, pkgvers []string) error {
	upstream := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(boot, siteFolder, "@"+benchSnapshot))))
	defer upstream.Close()
	base, err := url.Parse(upstream.URL)
	if err != nil {
		return err
	}
	m, err := mirror.Open(mirror.Config{
		Dir: filepath.Join(boot, mirrorFolder), Upstream: base, Keys: keys,
		Repositories: []mirror.Repository{{Path: "current", Arch: benchArch}},
		Notice:       func(string) {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	s, err := m.Freeze(ctx, benchSnapshot)
	if err == nil {
		err = m.Complete(ctx, s, []mirror.Want{{For: "bench", Arch: benchArch, Folders: []string{"current"}, Packages: pkgvers, Alone: true}}, nil)
	}
	return errors.Join(err, m.Close())
}

// packageMirror is our daemon with the mirror that fillMirror filled, and no upstream.
func packageMirror(program string) server {
	return daemonWith(program, func(dir, boot string) (string, error) {
		state := filepath.Join(dir, "state", "packages")
		if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
			return "", err
		}
		if err := os.CopyFS(state, os.DirFS(filepath.Join(boot, mirrorFolder))); err != nil {
			return "", err
		}
		return fmt.Sprintf("  upstream: none\n  keys: %s\n", filepath.Join(boot, keyFolder)), nil
	})
}

// packages has every client install all packages. Who serves them has read them once before, and
// so has ours, which verifies what it reads for the first time.
func (l *lane) packages(ctx context.Context, all []webFile, clients int) ([]sample, error) {
	load := httpLoad{Server: netip.MustParseAddrPort(serverAddress + ":80"), Files: all, Clients: 1, Repeat: 1}
	if _, err := load.run(ctx, l.cable.Client); err != nil {
		return nil, err
	}
	load.Clients = clients
	return l.transfer(func() (transferred, error) { return load.run(ctx, l.cable.Client) })
}
