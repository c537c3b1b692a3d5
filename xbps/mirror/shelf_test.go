package mirror

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// key makes the n-th key of a package.
func key(n int) shelfKey {
	var k shelfKey
	binary.BigEndian.PutUint32(k.sum[:], uint32(n))
	return k
}

func TestShelfIsBounded(t *testing.T) {
	var s shelf
	const files = 4 * maxShelf / shelved
	content := make([]byte, shelved)
	s.put(key(0), small{content: content})
	for n := 1; n < files; n++ {
		s.put(key(n), small{content: content})
		if _, ok := s.get(key(0)); !ok {
			t.Fatalf("after %d files the one that is asked for all the time is gone", n)
		}
		if s.bytes > maxShelf {
			t.Fatalf("%d bytes on the shelf, want at most %d", s.bytes, maxShelf)
		}
	}
	if _, ok := s.get(key(files - 1)); !ok {
		t.Error("the last file is not there")
	}
	if _, ok := s.get(key(1)); ok {
		t.Error("a file that nobody asked for stayed")
	}
	if len(s.items) != s.order.Len() || s.bytes != len(s.items)*(shelved+shelfItemSize) {
		t.Errorf("%d items, %d in order, %d bytes", len(s.items), s.order.Len(), s.bytes)
	}
}

// Nothing on the shelf is free: files of no content would be without number.
func TestShelfBoundsNumbers(t *testing.T) {
	var s shelf
	for n := range 2 * maxShelf / shelfItemSize {
		s.put(key(n), small{})
	}
	if len(s.items) > maxShelf/shelfItemSize {
		t.Errorf("%d items", len(s.items))
	}
}

func TestShelfForgets(t *testing.T) {
	var s shelf
	signature := key(1)
	signature.signature = true
	s.put(key(1), small{content: []byte("package")})
	s.put(signature, small{content: []byte("signature")})
	s.put(key(2), small{content: make([]byte, shelved+1)})
	if f, ok := s.get(key(1)); !ok || !bytes.Equal(f.content, []byte("package")) {
		t.Errorf("the package is %q, %t", f.content, ok)
	}
	if f, ok := s.get(signature); !ok || !bytes.Equal(f.content, []byte("signature")) {
		t.Errorf("the signature is %q, %t", f.content, ok)
	}
	if _, ok := s.get(key(2)); ok {
		t.Error("a large file is there")
	}
	s.forget(key(1).sum)
	_, packageThere := s.get(key(1))
	_, signatureThere := s.get(signature)
	if packageThere || signatureThere || s.bytes != 0 || s.order.Len() != 0 {
		t.Errorf("after forget: package %t, signature %t, %d bytes", packageThere, signatureThere, s.bytes)
	}
}
