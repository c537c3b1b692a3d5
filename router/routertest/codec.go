package routertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxWord bounds the words that the router takes, in bytes: more than any
// script that fits a router, and little enough for a test's memory.
const maxWord = 1 << 20

// maxWords bounds the words of one sentence.
const maxWords = 4096

// errReserved is a length from 0xF8 on, which the protocol reserves for
// control bytes that don't exist.
var errReserved = errors.New("reserved length byte")

// readSentence reads words up to the empty one that ends a sentence.
func readSentence(r *bufio.Reader) ([]string, error) {
	var words []string
	for {
		word, err := readWord(r)
		if err != nil {
			if len(words) > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if word == "" {
			return words, nil
		}
		if len(words) == maxWords {
			return nil, fmt.Errorf("sentence of more than %d words", maxWords)
		}
		words = append(words, word)
	}
}

func readWord(r *bufio.Reader) (string, error) {
	length, err := readLength(r)
	if err != nil {
		return "", err
	}
	if length > maxWord {
		return "", fmt.Errorf("word of %d bytes: more than %d", length, maxWord)
	}
	word := make([]byte, length)
	if _, err := io.ReadFull(r, word); err != nil {
		return "", errors.Join(io.ErrUnexpectedEOF, err)
	}
	return string(word), nil
}

// readLength reads the length of a word: one to five bytes, the leading ones
// of the first say how many more follow.
func readLength(r *bufio.Reader) (uint32, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	var length uint32
	var more int
	switch {
	case first < 0x80:
		return uint32(first), nil
	case first < 0xC0:
		length, more = uint32(first&0x3F), 1
	case first < 0xE0:
		length, more = uint32(first&0x1F), 2
	case first < 0xF0:
		length, more = uint32(first&0x0F), 3
	case first == 0xF0:
		more = 4
	default:
		return 0, errReserved
	}
	for range more {
		b, err := r.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		length = length<<8 | uint32(b)
	}
	return length, nil
}

// appendSentence appends words and the empty word that ends them.
func appendSentence(b []byte, words ...string) []byte {
	for _, word := range words {
		b = append(appendLength(b, uint32(len(word))), word...)
	}
	return append(b, 0)
}

func appendLength(b []byte, n uint32) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n < 0x4000:
		return append(b, byte(n>>8)|0x80, byte(n))
	case n < 0x20_0000:
		return append(b, byte(n>>16)|0xC0, byte(n>>8), byte(n))
	case n < 0x1000_0000:
		return append(b, byte(n>>24)|0xE0, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, 0xF0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
