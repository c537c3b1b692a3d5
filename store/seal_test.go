package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

func vault(t *testing.T, s *Store, key string) *Vault {
	t.Helper()
	v, err := s.Vault(key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealSurvivesReopen(t *testing.T) {
	dir, key := t.TempDir(), filepath.Join(t.TempDir(), "authority", "seal.key")
	s := open(t, dir)
	v := vault(t, s, key)
	if _, err := v.Unseal("gossip"); !errors.Is(err, host.ErrUnknown) {
		t.Errorf("Unseal before Seal: %v, want host.ErrUnknown", err)
	}
	for _, secret := range []string{"first", "a secret that nobody finds"} {
		if err := v.Seal("gossip", []byte(secret)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	if err := v.Seal("gossip", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Seal after Close: %v, want ErrClosed", err)
	}
	if _, err := v.Unseal("gossip"); !errors.Is(err, ErrClosed) {
		t.Errorf("Unseal after Close: %v, want ErrClosed", err)
	}

	v = vault(t, open(t, dir), key)
	if got, err := v.Unseal("gossip"); string(got) != "a secret that nobody finds" || err != nil {
		t.Errorf("Unseal after reopening: %q, %v", got, err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v; want mode 600", info.Mode(), err)
	}
	db, err := os.ReadFile(filepath.Join(dir, "provision.db"))
	if err != nil || bytes.Contains(db, []byte("nobody finds")) {
		t.Errorf("the database holds the secret in the open (%v)", err)
	}
}

// Without its key, or with another, a secret is not overwritten by accident and
// not taken for another one.
func TestSealNeedsItsKey(t *testing.T) {
	refused := func(s *Store, key, want string) {
		t.Helper()
		if _, err := s.Vault(key); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("Vault(%s): %v, want ErrDamaged and %q", key, err, want)
		}
	}
	s, dir := open(t, t.TempDir()), t.TempDir()
	key := filepath.Join(dir, "seal.key")
	v := vault(t, s, key)
	if err := v.Seal("token", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	refused(s, filepath.Join(dir, "lost"), "put a backup of it back")
	vault(t, open(t, t.TempDir()), filepath.Join(dir, "other"))
	refused(s, filepath.Join(dir, "other"), "does not open it")

	if err := os.WriteFile(filepath.Join(dir, "short"), []byte("c2hvcnQ=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(s, filepath.Join(dir, "short"), "no key of 32 bytes")

	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Vault(key); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("Vault with a key that the group may read: %v, want what to do", err)
	}

	// One secret moved to another's name.
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketSecrets)
		return b.Put([]byte("gossip"), b.Get([]byte("token")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Unseal("gossip"); !errors.Is(err, ErrDamaged) {
		t.Errorf("Unseal of another name's secret: %q, %v; want ErrDamaged", got, err)
	}
}

func TestSealBounds(t *testing.T) {
	v := vault(t, open(t, t.TempDir()), filepath.Join(t.TempDir(), "seal.key"))
	for name, secret := range map[string][]byte{"": nil, strings.Repeat("n", 129): nil, "big": make([]byte, 64<<10+1)} {
		if err := v.Seal(name, secret); err == nil {
			t.Errorf("Seal(%.10q, %d bytes) was accepted", name, len(secret))
		}
	}
}
