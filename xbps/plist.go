package xbps

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"howett.net/plist"
)

// maxDepth bounds the nesting of a property list. XBPS needs four levels; the
// decoder recurses once a level, so an endless nest would exhaust the stack.
const maxDepth = 32

// unmarshal decodes an XML property list. The other forms that the library
// knows are refused: XBPS never writes them, and some are guessed from any
// text.
func unmarshal(b []byte, v any) error {
	if err := checkNesting(b); err != nil {
		return err
	}
	if _, err := plist.Unmarshal(b, v); err != nil {
		return fmt.Errorf("property list: %w", err)
	}
	return nil
}

// checkNesting walks the tags of an XML property list without decoding it.
// Comments and processing instructions could hide tags from it; XBPS writes none but
// the XML declaration and the document type.
func checkNesting(b []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("<")) {
		return errors.New("no XML property list")
	}
	depth, declarations := 0, 0
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return nil
		}
		b = b[i+1:]
		end := bytes.IndexByte(b, '>')
		if end < 0 {
			return errors.New("property list ends inside a tag")
		}
		tag := b[:end]
		b = b[end+1:]
		switch {
		case len(tag) == 0 || tag[len(tag)-1] == '/' && tag[0] != '?' && tag[0] != '!':
		case tag[0] == '?' || tag[0] == '!':
			if declarations++; declarations > 2 || bytes.HasPrefix(tag, []byte("!--")) || bytes.HasPrefix(tag, []byte("![")) {
				return errors.New("property list with comments or more than one declaration")
			}
		case tag[0] == '/':
			depth--
		default:
			if depth++; depth > maxDepth {
				return fmt.Errorf("property list nested deeper than %d", maxDepth)
			}
		}
	}
}

// MarshalPlist encodes v in the form that XBPS reads.
func MarshalPlist(v any) ([]byte, error) {
	b, err := plist.MarshalIndent(v, plist.XMLFormat, "\t")
	if err != nil {
		return nil, fmt.Errorf("property list: %w", err)
	}
	return []byte(namedEntities.Replace(string(b)) + "\n"), nil
}

// namedEntities replaces the numeric character references that the library
// writes: xbps' parser (portableproplib) knows XML's five names only, and calls a
// whole index with one apostrophe an invalid argument.
var namedEntities = strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;", "&#x9;", "\t", "&#xA;", "\n", "&#xD;", "\r")
