package release

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jedisct1/go-minisign"
)

// MaxSums bounds the signed list and its signature. A release has some fifty
// files.
const MaxSums = 1 << 20

// Sums are the SHA-256 of a release's files, in hexadecimal, by their names.
type Sums map[string]string

// Verify returns what sums says if signature is by key over it: all of a list
// is believed, or nothing. The errors wrap ErrSignature or ErrSums.
func Verify(sums, signature []byte, key string) (Sums, error) {
	public, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	if len(sums) > MaxSums || len(signature) > MaxSums {
		return nil, fmt.Errorf("%w: more than %d bytes are no list of files", ErrSums, MaxSums)
	}
	if err := verify(public, sums, signature); err != nil {
		return nil, fmt.Errorf("%s: %w for %s and the key %s: %w", SignatureFile, ErrSignature, SumsFile, key, err)
	}
	return parse(string(sums))
}

func parseKey(key string) (minisign.PublicKey, error) {
	public, err := minisign.NewPublicKey(strings.TrimSpace(key))
	if err != nil || public.SignatureAlgorithm != [2]byte{'E', 'd'} {
		return public, fmt.Errorf("%q is no minisign key: want one line that begins with RW", key)
	}
	return public, nil
}

func verify(public minisign.PublicKey, sums, signature []byte) error {
	text := strings.TrimRight(strings.ReplaceAll(string(signature), "\r\n", "\n"), "\n")
	lines := strings.Split(text, "\n")
	switch {
	case len(lines) == 2 && strings.HasPrefix(lines[0], "untrusted comment: "):
		return errors.New("it is of signify, not of minisign: use a release after " + lastSignify)
	case len(lines) != 4:
		return fmt.Errorf("a minisign signature has four lines, this has %d", len(lines))
	}
	s, err := minisign.DecodeSignature(text)
	if err != nil {
		return err
	}
	if s.KeyId != public.KeyId {
		return fmt.Errorf("it is by another key, of the ID %X; each release has its own: look at images.release and images.release_key", s.KeyId)
	}
	ok, err := public.Verify(sums, s)
	if err == nil && !ok {
		err = errors.New("it is of other content")
	}
	return err
}

// Both forms of sha256sum(1): with --tag, as Void has it, and without.
var (
	tagged = regexp.MustCompile(`^SHA256 \(([^()/\s]+)\) = ([0-9a-f]{64})$`)
	plain  = regexp.MustCompile(`^([0-9a-f]{64}) [ *]([^()/\s]+)$`)
)

func parse(text string) (Sums, error) {
	sums := Sums{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		var name, sum string
		if m := tagged.FindStringSubmatch(line); m != nil {
			name, sum = m[1], m[2]
		} else if m := plain.FindStringSubmatch(line); m != nil {
			name, sum = m[2], m[1]
		} else {
			return nil, fmt.Errorf("%s: %w: line %d is no SHA-256 with the name of a file: %q", SumsFile, ErrSums, n, line)
		}
		if old, ok := sums[name]; ok && old != sum {
			return nil, fmt.Errorf("%s: %w: line %d gives %s a second SHA-256", SumsFile, ErrSums, n, name)
		}
		sums[name] = sum
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("%s: %w: it names no file", SumsFile, ErrSums)
	}
	return sums, nil
}

// File is the SHA-256 of one file.
func (s Sums) File(name string) (string, error) {
	sum, ok := s[name]
	if !ok {
		return "", fmt.Errorf("%s does not name %s: this release has no such file", SumsFile, name)
	}
	return sum, nil
}
