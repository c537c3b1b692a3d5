package xbps_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision.internal/xbps"
)

// Void's own keys have the fingerprints that their files are published under.
func TestFingerprint(t *testing.T) {
	for file, want := range map[string]string{
		"void-60ae.plist": "60:ae:0c:d6:f0:95:17:80:bc:93:46:7a:89:af:a3:2d",
		"void-3db9.plist": "3d:b9:c0:50:41:a7:68:4c:2e:2c:a9:a2:5a:04:b7:3f",
	} {
		b, err := os.ReadFile(filepath.Join("keys", file))
		if err != nil {
			t.Fatal(err)
		}
		k, err := xbps.ParseKey(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Fingerprint(); got != want || k.SignedBy != "Void Linux" {
			t.Errorf("%s: fingerprint %s by %q, want %s", file, got, k.SignedBy, want)
		}
		name, content, err := k.Marshal()
		if err != nil || name != want+".plist" {
			t.Errorf("Marshal gives %s, %v", name, err)
		}
		if again, err := xbps.ParseKey(content); err != nil || !again.Public.Equal(k.Public) || again.SignedBy != k.SignedBy {
			t.Errorf("what Marshal gives reads as %v, %v", again, err)
		}
	}
}

func TestVoidKeys(t *testing.T) {
	keys := xbps.VoidKeys()
	for _, fingerprint := range []string{
		"60:ae:0c:d6:f0:95:17:80:bc:93:46:7a:89:af:a3:2d", "3d:b9:c0:50:41:a7:68:4c:2e:2c:a9:a2:5a:04:b7:3f",
	} {
		if k, ok := keys[fingerprint]; !ok || k.Fingerprint() != fingerprint || len(keys) != 2 {
			t.Errorf("VoidKeys() = %v, want Void's two, under their fingerprints", keys)
		}
	}
}

func TestLoadKeys(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile("keys/void-60ae.plist")
	if err != nil {
		t.Fatal(err)
	}
	const right = "60:ae:0c:d6:f0:95:17:80:bc:93:46:7a:89:af:a3:2d.plist"
	if err := os.WriteFile(filepath.Join(dir, right), b, 0o644); err != nil {
		t.Fatal(err)
	}
	keys, err := xbps.LoadKeys(dir)
	if err != nil || len(keys) != 1 {
		t.Errorf("LoadKeys = %v, %v; want one key", keys, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "void.plist"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := xbps.LoadKeys(dir); err == nil || !strings.Contains(err.Error(), "rename it to "+right) {
		t.Errorf("LoadKeys of a misnamed file: %v", err)
	}
	if _, err := xbps.LoadKeys(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadKeys of no folder: %v, want ErrNotExist", err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	plist := func(pem string) string {
		return "<plist><dict><key>public-key</key><data>" + base64.StdEncoding.EncodeToString([]byte(pem)) + "</data></dict></plist>"
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"no property list":  "ssh-rsa AAAA",
		"an old format":     "{ public-key = <00>; }",
		"no PEM":            plist("hello"),
		"a broken key":      plist("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"another algorithm": plist(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))),
		"a comment":         "<plist><!-- <dict> --><dict></dict></plist>",
		"a deep nest":       strings.Repeat("<array>", 1<<20),
	} {
		if k, err := xbps.ParseKey([]byte(text)); err == nil {
			t.Errorf("ParseKey of %s = %v", name, k)
		}
	}
}

func TestVerify(t *testing.T) {
	digest := sha256.Sum256([]byte("a package"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, testKey(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	k := xbps.Key{Public: &testKey().PublicKey}
	keys := xbps.Keys{k.Fingerprint(): k}
	if err := keys.Verify(k.Fingerprint(), digest, signature); err != nil {
		t.Errorf("right signature: %v", err)
	}
	if err := keys.Verify("00:11", digest, signature); !errors.Is(err, xbps.ErrKey) {
		t.Errorf("unknown key: %v, want ErrKey", err)
	}
	for name, wrong := range map[string][]byte{"none": nil, "short": signature[1:], "other": append([]byte{signature[0] ^ 1}, signature[1:]...)} {
		if err := keys.Verify(k.Fingerprint(), digest, wrong); !errors.Is(err, xbps.ErrSignature) {
			t.Errorf("%s signature: %v, want ErrSignature", name, err)
		}
	}
	other := sha256.Sum256([]byte("another"))
	if err := keys.Verify(k.Fingerprint(), other, signature); !errors.Is(err, xbps.ErrSignature) {
		t.Errorf("another package: %v, want ErrSignature", err)
	}
}

// FuzzParseKey looks for panics, and for keys that do not survive being written.
func FuzzParseKey(f *testing.F) {
	b, err := os.ReadFile("keys/void-60ae.plist")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("<plist><dict/></plist>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := xbps.ParseKey(b)
		if err != nil {
			return
		}
		_, content, err := k.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := xbps.ParseKey(content); err == nil && again.Fingerprint() != k.Fingerprint() {
			t.Errorf("fingerprint %s, written and read again %s", k.Fingerprint(), again.Fingerprint())
		}
	})
}
