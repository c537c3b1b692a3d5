package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"provision.internal/host"
)

// Vault keeps secrets in provision.db, each sealed with AES-256-GCM under a key
// that lives in a file of its own: a copy of the database alone tells nothing.
// Its methods may be called from any goroutine.
type Vault struct {
	store   *Store
	keyFile string
	seal    cipher.AEAD
}

// Names and secrets are bounded, so that a mistake cannot fill the database.
const (
	longestName   = 128
	longestSecret = 64 << 10
)

// sealed is the format of what is kept; the nonce and then the ciphertext follow.
const sealed = 1

// keyLength is AES-256's.
const keyLength = 32

// Vault opens the store's secrets with the key in keyFile, which is made at the
// first use. ErrDamaged is wrapped when secrets are there and their key is not,
// or is another: making a new one would lose them for good.
func (s *Store) Vault(keyFile string) (*Vault, error) {
	key, err := readKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = s.makeKey(keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the sealed secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of the sealed secrets, %s: %w", keyFile, err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("key of the sealed secrets, %s: %w", keyFile, err)
	}
	v := &Vault{store: s, keyFile: keyFile, seal: seal}
	return v, v.try()
}

// try unseals every secret, so that a wrong key is found at the start.
func (v *Vault) try() error {
	return v.view(func(secrets *bolt.Bucket) error {
		return secrets.ForEach(func(name, kept []byte) error {
			_, err := v.open(string(name), kept)
			return err
		})
	})
}

func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner: chmod 600 %s", file, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(text))
	if err != nil || len(key) != keyLength {
		return nil, fmt.Errorf("%s: %w: it is no key of %d bytes in base64; put a backup of it back", file, ErrDamaged, keyLength)
	}
	return key, nil
}

// makeKey makes the key durable before anything is sealed with it.
func (s *Store) makeKey(file string) ([]byte, error) {
	err := s.viewSecrets(func(secrets *bolt.Bucket) error {
		if name, _ := secrets.Cursor().First(); name != nil {
			return fmt.Errorf("%s: %w: it is missing, and provision.db holds secrets that only it opens; put a backup of it back", file, ErrDamaged)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, keyLength)
	rand.Read(key)
	return key, replaceFile(file, append(base64.StdEncoding.AppendEncode(nil, key), '\n'))
}

// Seal keeps secret under name, durably, in the place of what was there.
func (v *Vault) Seal(name string, secret []byte) error {
	if name == "" || len(name) > longestName || len(secret) > longestSecret {
		return fmt.Errorf("seal %q: a name has 1 to %d bytes, a secret at most %d", name, longestName, longestSecret)
	}
	kept := v.seal.Seal([]byte{sealed}, nil, secret, []byte(name))
	// Close takes this lock, too: nothing is written to a closed database.
	v.store.commit.Lock()
	defer v.store.commit.Unlock()
	if v.store.isClosed() {
		return fmt.Errorf("seal %q: %w", name, ErrClosed)
	}
	err := guarded(v.store.db.Path(), func() error {
		return v.store.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketSecrets).Put([]byte(name), kept) })
	})
	if err != nil {
		return fmt.Errorf("seal %q: %w", name, explain(err, v.store.dir))
	}
	return nil
}

// Unseal returns the secret under name. host.ErrUnknown is wrapped when there is
// none.
func (v *Vault) Unseal(name string) (secret []byte, err error) {
	err = v.view(func(secrets *bolt.Bucket) error {
		kept := secrets.Get([]byte(name))
		if kept == nil {
			return fmt.Errorf("sealed secret %q: %w", name, host.ErrUnknown)
		}
		secret, err = v.open(name, kept)
		return err
	})
	return secret, err
}

func (v *Vault) view(f func(secrets *bolt.Bucket) error) error {
	v.store.commit.Lock()
	defer v.store.commit.Unlock()
	if v.store.isClosed() {
		return ErrClosed
	}
	return v.store.viewSecrets(f)
}

func (v *Vault) open(name string, kept []byte) ([]byte, error) {
	if len(kept) > 0 && kept[0] == sealed {
		if secret, err := v.seal.Open(nil, nil, kept[1:], []byte(name)); err == nil {
			return secret, nil
		}
	}
	return nil, fmt.Errorf("sealed secret %q: %w: %s does not open it; put the key and provision.db back from one backup", name, ErrDamaged, v.keyFile)
}

func (s *Store) viewSecrets(f func(secrets *bolt.Bucket) error) error {
	return guarded(s.db.Path(), func() error {
		return s.db.View(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketSecrets)) })
	})
}

func (s *Store) isClosed() bool {
	s.stage.Lock()
	defer s.stage.Unlock()
	return s.closed
}
