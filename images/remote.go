package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"provision.internal/xbps"
)

const (
	maxIndex     = 64 << 20 // compressed; Void's has two
	maxSignature = 8 << 10

	indexPrefix = "index-" // of the files that indexes are kept in
)

// Remote opens the repository at base, a URL, for arch. Its packages are kept in the
// store until they are collected, and a transfer that broke goes on where it was.
// Without network the index of the last time serves.
func (s *Store) Remote(ctx context.Context, f *Fetcher, base, arch string, keys xbps.Keys) (Repository, error) {
	packages, err := s.sub(packagesDir)
	if err != nil {
		return Repository{}, err
	}
	base = strings.TrimRight(base, "/") + "/"
	index, err := packages.index(ctx, f, base+xbps.IndexName(arch), keys)
	if err != nil {
		return Repository{}, err
	}
	return Repository{Index: index, Open: func(ctx context.Context, p xbps.Package) (*os.File, error) {
		return packages.open(ctx, f, base+url.PathEscape(p.File()), p, keys, index.Key.Fingerprint())
	}}, nil
}

// index fetches an index and keeps it for when there is no network.
func (s *Store) index(ctx context.Context, f *Fetcher, name string, keys xbps.Keys) (*xbps.Index, error) {
	sum := sha256.Sum256([]byte(name))
	file := filepath.Join(s.dir, indexPrefix+hex.EncodeToString(sum[:8]))
	b, err := f.small(ctx, name, maxIndex)
	fresh := err == nil
	if errors.Is(err, ErrFetch) && ctx.Err() == nil {
		kept, readErr := os.ReadFile(file)
		if readErr != nil {
			return nil, err
		}
		f.note(fmt.Sprintf("%v; going on with the index of the last time", err))
		b = kept
	} else if err != nil {
		return nil, err
	}
	index, err := xbps.ReadIndex(bytes.NewReader(b))
	if err == nil {
		err = index.Trusted(keys)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if fresh {
		err = writeFile(file, b)
	}
	return index, err
}

// open opens a package that is kept, or fetches it. The index says which file it is,
// and the signature whether it may be: both are known before a byte of it is
// asked for.
func (s *Store) open(ctx context.Context, f *Fetcher, at string, p xbps.Package, keys xbps.Keys, fingerprint string) (*os.File, error) {
	digest, err := hex.DecodeString(p.SHA256)
	if err != nil || len(digest) != sha256.Size {
		return nil, fmt.Errorf("%s: the index gives no SHA-256", at)
	}
	verify := func(signature []byte) error {
		return xbps.VerifyPackage(p, [sha256.Size]byte(digest), signature, keys, fingerprint)
	}
	kept := filepath.Join(s.dir, p.SHA256+".sig2")
	if signature, err := os.ReadFile(kept); err != nil || verify(signature) != nil {
		signature, err := f.small(ctx, at+".sig2", maxSignature)
		if err != nil {
			return nil, err
		}
		if err := verify(signature); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if err := writeFile(kept, signature); err != nil {
			return nil, err
		}
	}
	if err := s.fetch(ctx, f, at, p.SHA256); err != nil {
		return nil, err
	}
	return s.File(p.SHA256)
}
