package daemon

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/go-viper/mapstructure/v2"

	"provision.internal/installer"
	"provision.internal/router"
)

// Decode makes a Config of the settings of a configuration file, on top of the
// defaults. Relative file names count from the folder base. The error is
// Faults and names every key that is unknown, unreadable or wrong.
func Decode(settings map[string]any, base string) (Config, error) {
	cfg := Default()
	var faults Faults
	if settings["router"] == "none" {
		settings = maps.Clone(settings)
		delete(settings, "router")
	}
	faults.decoding(decodeInto(&cfg, settings))
	// mapstructure drops a whole role or router for one bad key, and its other
	// faults with it.
	if roles, ok := settings["roles"].(map[string]any); ok {
		for name, value := range roles {
			if _, ok := cfg.Roles[name]; ok {
				continue
			}
			var role installer.Role
			_ = decodeInto(&role, value) // its faults are known
			if cfg.Roles == nil {
				cfg.Roles = map[string]installer.Role{}
			}
			cfg.Roles[name] = role
		}
	}
	if value, ok := settings["router"].(map[string]any); ok && cfg.Router == nil {
		cfg.Router = &router.Config{}
		_ = decodeInto(cfg.Router, value) // the same
	}
	faults.unknown("", settings, reflect.TypeFor[Config]())
	cfg.resolve(base)
	var wrong Faults
	if errors.As(cfg.Validate(), &wrong) {
		for _, f := range wrong {
			if !slices.ContainsFunc(faults, f.follows) {
				faults = append(faults, f)
			}
		}
	}
	return cfg, faults.err()
}

func decodeInto(result, value any) error {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: result,
		// A weak decoder would read the serial 0012 as the number ten.
		WeaklyTypedInput: false,
		MatchName:        func(key, field string) bool { return key == field },
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(readText, readNumber),
	})
	if err != nil {
		return err
	}
	return decoder.Decode(value)
}

// follows reports whether f is only there because another key could not be
// read: a value that cannot be read is not missing as well.
func (f Fault) follows(unread Fault) bool {
	rest, ok := strings.CutPrefix(unread.Key, f.Key)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// unknown adds the keys of value that t has not. mapstructure does not tell
// them where another key cannot be read.
func (fs *Faults) unknown(path string, value any, t reflect.Type) {
	if t.Kind() == reflect.Pointer { // a section that may be missing
		t = t.Elem()
	}
	switch v := value.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				fs.unknown(fmt.Sprintf("%s[%d]", path, i), e, t.Elem())
			}
		}
	case map[string]any:
		fields := fieldsOf(t)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+key, ".")
			field, ok := fields[key]
			switch {
			case t.Kind() == reflect.Map:
				fs.unknown(at, v[key], t.Elem())
			case ok:
				fs.unknown(at, v[key], field)
			case fields != nil:
				fs.add(at, "unknown key%s", suggestion(key, slices.Sorted(maps.Keys(fields))))
			}
		}
	}
}

// fieldsOf are the keys that a section of type t has; nil when t is no section.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("mapstructure"), ","); name != "" && name != "-" {
			fields[name] = t.Field(i).Type
		}
	}
	return fields
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
	case to == reflect.TypeFor[installer.Amount](), to == reflect.TypeFor[Date]():
		return readText(reflect.TypeFor[string](), to, fmt.Sprint(value))
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

// decoding adds the errors of mapstructure, which are a tree.
func (fs *Faults) decoding(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			fs.decoding(e)
		}
		return
	}
	at, ok := err.(*mapstructure.DecodeError)
	switch {
	case ok:
		key := mapKey.ReplaceAllString(at.Name(), ".$1")
		var kind *mapstructure.UnconvertibleTypeError
		if errors.As(err, &kind) {
			fs.add(key, "want %s, got %s", kindName(kind.Expected.Type()), kindName(reflect.TypeOf(kind.Value)))
			return
		}
		fs.add(key, "%v", at.Unwrap())
	case errors.Unwrap(err) != nil:
		fs.decoding(errors.Unwrap(err))
	default:
		fs.add("configuration", "%v", err)
	}
}

// mapKey is how mapstructure writes the key of a map: roles[worker].
var mapKey = regexp.MustCompile(`\[([^\]]*[^\]0-9][^\]]*)\]`)

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
	digits := strings.TrimRight(text, "kKMGTiB ")
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

// suggestion names the known key that was probably meant.
func suggestion(key string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(key), k, nil); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}
