package ansible

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"provision.internal/host"
)

// maxTries bounds how many lines that begin with a brace are tried as the
// document's beginning.
const maxTries = 100

// errCut: there is the beginning of a document.
var errCut = fmt.Errorf("%w: it was cut off", ErrNoRecap)

// Parse reads the standard output of one run of ansible-playbook with the
// callback plugin ansible.posix.json. Lines before the document and after it
// are other plugins' and are passed over. It holds no more than one task's
// results at a time. ErrNoRecap is wrapped when there is no whole document; an
// error of r is returned as it is.
func Parse(r io.Reader) (Recap, error) {
	whole := &remembering{r: r}
	in := bufio.NewReader(whole)
	for try := 0; try < maxTries; {
		first, err := next(in)
		switch {
		case err == io.EOF:
			return Recap{}, ErrNoRecap
		case err != nil:
			return Recap{}, err
		case first != '{':
			continue
		}
		try++
		d := document{json: json.NewDecoder(io.MultiReader(strings.NewReader("{"), in))}
		err = d.read()
		switch {
		case whole.err != nil:
			return Recap{}, whole.err
		case err == nil && d.hosts != nil:
			return d.recap(), nil
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return Recap{}, errCut
		}
		// Something else that begins with a brace: go on behind what was read of it.
		in = bufio.NewReader(io.MultiReader(d.json.Buffered(), in))
	}
	return Recap{}, ErrNoRecap
}

// next takes the first character of a line, and the rest of the line when it is
// no brace.
func next(in *bufio.Reader) (first byte, err error) {
	if first, err = in.ReadByte(); err != nil || first == '{' || first == '\n' {
		return first, err
	}
	for err = bufio.ErrBufferFull; err == bufio.ErrBufferFull; {
		_, err = in.ReadSlice('\n')
	}
	return first, err
}

// remembering keeps the error of a reader that is no end: a decoder may give
// another one.
type remembering struct {
	r   io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// document is what the callback plugin writes. What tasks say beside their
// messages is left out on purpose: differences of files show what is in them.
type document struct {
	json     *json.Decoder
	hosts    map[string]host.Totals // nil until they have come
	failures []Failure
	changes  []Change
}

func (d *document) read() error {
	return d.object(func(key string) error {
		switch key {
		case "plays":
			return d.array(d.play)
		case "stats":
			return d.stats()
		}
		return d.skip()
	})
}

// play reads one play: its name may come after its tasks.
func (d *document) play() error {
	failures, changes := len(d.failures), len(d.changes)
	var of struct{ Name string }
	err := d.object(func(key string) error {
		switch key {
		case "play":
			return d.json.Decode(&of)
		case "tasks":
			return d.array(d.task)
		}
		return d.skip()
	})
	for i := range d.failures[failures:] {
		d.failures[failures+i].Play = text(of.Name)
	}
	for i := range d.changes[changes:] {
		d.changes[changes+i].Play = text(of.Name)
	}
	return err
}

// task reads one task. With strategies such as free there is one for each host.
func (d *document) task() error {
	var t struct {
		Task  struct{ Name string }
		Hosts map[string]result
	}
	if err := d.json.Decode(&t); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.Hosts)) {
		res := t.Hosts[name]
		switch unreachable := res.Unreachable.value; {
		case res.Failed.value || unreachable:
			if len(d.failures) < maxFailures {
				d.failures = append(d.failures, Failure{Task: text(t.Task.Name), Host: text(name), Message: res.message(), Unreachable: unreachable})
			}
		case res.Changed.value && len(d.changes) < maxEntries:
			d.changes = append(d.changes, Change{Task: text(t.Task.Name), Host: text(name)})
		}
	}
	return nil
}

func (d *document) stats() error {
	var stats map[string]struct {
		OK, Changed, Unreachable, Failures, Skipped, Rescued, Ignored int
	}
	if err := d.json.Decode(&stats); err != nil {
		return err
	}
	d.hosts = map[string]host.Totals{}
	for name, s := range stats {
		d.hosts[text(name)] = host.Totals{
			OK: s.OK, Changed: s.Changed, Unreachable: s.Unreachable, Failed: s.Failures,
			Skipped: s.Skipped, Rescued: s.Rescued, Ignored: s.Ignored,
		}
	}
	return nil
}

// object reads an object; each is called for every key and reads its value.
func (d *document) object(each func(key string) error) error {
	return d.group('{', func() error {
		key, err := d.json.Token()
		if err != nil {
			return err
		}
		return each(fmt.Sprint(key))
	})
}

// array reads an array; each reads one element.
func (d *document) array(each func() error) error { return d.group('[', each) }

func (d *document) group(open json.Delim, each func() error) error {
	token, err := d.json.Token()
	if err != nil {
		return err
	}
	if token != open {
		return fmt.Errorf("found %v in place of %v", token, open)
	}
	for d.json.More() {
		if err := each(); err != nil {
			return err
		}
	}
	_, err = d.json.Token()
	return err
}

func (d *document) skip() error { return d.json.Decode(new(json.RawMessage)) }
