package daemon

import (
	"encoding"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/go-viper/mapstructure/v2"
)

// Decode makes a Config of the settings of a configuration file, on top of the
// defaults. Relative file names count from the folder base. The error is
// Faults and names every key that is unknown, unreadable or wrong.
func Decode(settings map[string]any, base string) (Config, error) {
	cfg := Default()
	var meta mapstructure.Metadata
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:   &cfg,
		Metadata: &meta,
		// A weak decoder would read the serial 0012 as the number ten.
		WeaklyTypedInput: false,
		MatchName:        func(key, field string) bool { return key == field },
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(readText, readNumber),
	})
	if err != nil {
		return cfg, err
	}
	var faults Faults
	faults.decoding(decoder.Decode(settings))
	known := keysOf(reflect.TypeFor[Config]())
	slices.Sort(meta.Unused)
	for _, key := range meta.Unused {
		faults.add(key, "unknown key%s", suggestion(key, known))
	}
	cfg.resolve(base)
	unreadable := make(map[string]bool)
	for _, f := range faults {
		unreadable[f.Key] = true
	}
	var wrong Faults
	if errors.As(cfg.Validate(), &wrong) {
		for _, f := range wrong {
			// A value that could not be read is not missing as well.
			if !unreadable[f.Key] {
				faults = append(faults, f)
			}
		}
	}
	return cfg, faults.err()
}

// readText reads durations, sizes, and whatever can unmarshal text.
func readText(from, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok {
		return value, nil
	}
	switch {
	case to == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration: want a number with a unit, such as 90s, 15m or 24h", text)
		}
		return d, nil
	case reflect.PointerTo(to).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		v := reflect.New(to)
		if err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return nil, plain(err)
		}
		return v.Elem().Interface(), nil
	case to.Kind() == reflect.Uint64:
		return ParseSize(text)
	case to.Kind() == reflect.Bool: // from the environment
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return b, nil
	}
	return value, nil
}

// readNumber refuses numbers where a unit or text is needed, because a plain
// number would be taken for nanoseconds or bytes by mistake.
func readNumber(from, to reflect.Type, value any) (any, error) {
	switch value.(type) {
	case int, int64, uint64, float64:
	default:
		return value, nil
	}
	switch {
	case to == reflect.TypeFor[time.Duration]() && value != 0:
		return nil, fmt.Errorf("%v has no unit: write 90s, 15m or 24h", value)
	case to.Kind() == reflect.String:
		return nil, fmt.Errorf("%v is a number here: put it in quotes", value)
	}
	return value, nil
}

// plain drops the names of Go functions from the standard library's errors.
func plain(err error) error {
	text := err.Error()
	for _, prefix := range []string{"ParseAddr(", "netip.ParsePrefix(", "netip.ParseAddrPort("} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			quoted, why, _ := strings.Cut(rest, "): ")
			return fmt.Errorf("%s cannot be read: %s", quoted, why)
		}
	}
	return err
}

// decoding adds the errors of mapstructure, which are a tree of joined ones.
func (fs *Faults) decoding(err error) {
	var at *mapstructure.DecodeError
	switch joined, many := err.(interface{ Unwrap() []error }); {
	case err == nil:
	case many:
		for _, e := range joined.Unwrap() {
			fs.decoding(e)
		}
	case errors.As(err, &at):
		inner := at.Unwrap()
		if _, many := inner.(interface{ Unwrap() []error }); many {
			fs.decoding(inner)
			return
		}
		var kind *mapstructure.UnconvertibleTypeError
		if errors.As(inner, &kind) {
			fs.add(at.Name(), "want %s, got %s", kindName(kind.Expected.Type()), kindName(reflect.TypeOf(kind.Value)))
			return
		}
		fs.add(at.Name(), "%v", inner)
	case errors.Unwrap(err) != nil:
		fs.decoding(errors.Unwrap(err))
	default:
		fs.add("configuration", "%v", err)
	}
}

func kindName(t reflect.Type) string {
	if t == nil {
		return "nothing"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "keys with values"
	}
	return "a number"
}

// ParseSize reads a number of bytes with a unit: 512MiB, 4GiB, 1TB.
func ParseSize(text string) (uint64, error) {
	units := map[string]uint64{
		"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
	digits := strings.TrimRight(text, "BKMGTkiB ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, ok := units[strings.TrimSpace(text[len(digits):])]
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is no size: want a number with a unit, such as 512MiB or 4GiB", text)
	}
	high, low := bits.Mul64(n, unit)
	if high != 0 {
		return 0, fmt.Errorf("%q is too large", text)
	}
	return low, nil
}

// keysOf lists the keys that the configuration has anywhere, by their last
// part.
func keysOf(t reflect.Type) []string {
	var keys []string
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(t reflect.Type) {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("mapstructure"), ",")
			if name != "" && name != "-" {
				keys = append(keys, name)
			}
			visit(t.Field(i).Type)
		}
	}
	visit(t)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// suggestion names the known key that was probably meant.
func suggestion(key string, known []string) string {
	last := key[strings.LastIndexAny(key, ".]")+1:]
	best, distance := "", 3
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(last), k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}
