package httpboot

import (
	"fmt"
	"strings"
)

// word is text that is safe in an iPXE or GRUB script. Only newWord makes one,
// and the templates get nothing else: iPXE has no quoting at all, so what cannot
// be written plainly is refused.
type word string

// plainWord are the characters that mean themselves to both languages: no
// expansion, no separator, no quote, no comment, no line end.
const plainWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/,=+@%~"

// newWord accepts text without spaces.
func newWord(text string) (word, error) {
	if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(plainWord, r) }); i >= 0 || text == "" {
		return "", fmt.Errorf("%q cannot stand in a boot script: only letters, digits and -._:/,=+@%%~ can", text)
	}
	return word(text), nil
}

// newWords accepts several words with spaces between them.
func newWords(text string) (word, error) {
	var words []string
	for field := range strings.FieldsSeq(text) {
		w, err := newWord(field)
		if err != nil {
			return "", err
		}
		words = append(words, string(w))
	}
	return word(strings.Join(words, " ")), nil
}
