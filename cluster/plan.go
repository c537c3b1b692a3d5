package cluster

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/nomad/api"
)

// What a Change is about.
const (
	KindPolicy = "policy"
	KindPool   = "pool"
	KindJob    = "job"
)

// Change makes one thing as it was declared.
type Change struct {
	Kind   string  `json:"kind"`
	Name   string  `json:"name"`
	Action string  `json:"action"` // create, change, remove
	Fields []Field `json:"fields,omitempty"`

	policy *api.ACLPolicy
	pool   *api.NodePool
	job    *api.Job
}

// What a Change does.
const (
	ActionCreate = "create"
	ActionChange = "change"
	ActionRemove = "remove"
)

// Field is what of it differs.
type Field struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Plan leads from what is to what was declared. Foreign are policies and pools
// that others made, as KIND/NAME: they stay.
type Plan struct {
	Changes []Change `json:"changes"`
	Foreign []string `json:"foreign,omitempty"`
}

// ErrStale: the cluster is not any more as it was when the plan was made.
var ErrStale = errors.New("the cluster has changed since the plan was made: look at a new plan")

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Fingerprint tells plans apart by what they do.
func (p Plan) Fingerprint() string {
	text, err := json.Marshal(p.Changes)
	if err != nil {
		panic(err) // strings only
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// split divides the changes, in their order.
func (p Plan) split(first func(Change) bool) (yes, no []Change) {
	for _, c := range p.Changes {
		if first(c) {
			yes = append(yes, c)
		} else {
			no = append(no, c)
		}
	}
	return yes, no
}

// The colours of what goes and comes, as a terminal shows them: ECMA-48 §8.3.117.
var colours = map[string]string{"+": "\x1b[32m", "-": "\x1b[31m", "~": "\x1b[33m"}

// Text is the plan for people: each change, each field before and after.
func (p Plan) Text(colour bool) string {
	var b strings.Builder
	line := func(indent, sign, text string) {
		if colour {
			sign, text = colours[sign]+sign, text+"\x1b[0m"
		}
		fmt.Fprintf(&b, "%s%s %s\n", indent, sign, text)
	}
	signs := map[string]string{ActionCreate: "+", ActionChange: "~", ActionRemove: "-"}
	for _, c := range p.Changes {
		line("", signs[c.Action], c.Kind+" "+c.Name)
		for _, f := range c.Fields {
			b.WriteString("    " + f.Name + ":\n")
			for _, side := range []struct{ sign, text string }{{"-", f.Before}, {"+", f.After}} {
				for text := range strings.SplitSeq(side.text, "\n") {
					if side.text != "" {
						line("      ", side.sign, text)
					}
				}
			}
		}
	}
	if p.Empty() {
		b.WriteString("Nothing to do: the cluster is as declared.\n")
	}
	for _, name := range p.Foreign {
		fmt.Fprintf(&b, "  %s is not ours and stays\n", name)
	}
	return b.String()
}

// differ returns the pairs that differ.
func differ(pairs ...Field) (fields []Field) {
	for _, f := range pairs {
		if f.Before != f.After {
			fields = append(fields, f)
		}
	}
	return fields
}

// flatten lists what a job's plan says, with the path of each field.
func flatten(d *api.JobDiff) (fields []Field) {
	var object func(path string, fs []*api.FieldDiff, os []*api.ObjectDiff)
	object = func(path string, fs []*api.FieldDiff, os []*api.ObjectDiff) {
		for _, f := range fs {
			fields = append(fields, differ(Field{path + f.Name, f.Old, f.New})...)
		}
		for _, o := range os {
			object(path+o.Name+".", o.Fields, o.Objects)
		}
	}
	object("", d.Fields, d.Objects)
	for _, g := range d.TaskGroups {
		object("group "+g.Name+".", g.Fields, g.Objects)
		for _, t := range g.Tasks {
			object("group "+g.Name+".task "+t.Name+".", t.Fields, t.Objects)
		}
	}
	return fields
}
