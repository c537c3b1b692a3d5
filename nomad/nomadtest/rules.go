package nomadtest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// rules are what one policy, or several together, allow.
type rules struct {
	namespaces map[string]grant            // by the pattern of names
	pools      map[string]grant            // the same
	variables  map[string]map[string]grant // by the patterns of the namespace and the path
	levels     map[string]grant            // of agent, node, operator, quota and plugin
}

// grant is a set of capabilities. One that holds "deny" allows nothing.
type grant map[string]bool

func (g grant) allows(capability string) bool { return g[capability] && !g["deny"] }

func (g grant) empty() bool { return len(g) == 0 || g["deny"] }

func newRules() *rules {
	return &rules{
		namespaces: map[string]grant{}, pools: map[string]grant{}, variables: map[string]map[string]grant{},
		levels: map[string]grant{},
	}
}

// Capabilities of namespaces that a policy may name, as far as they are about
// what a Server does, and the levels that stand for several of them.
var (
	namespaceRead = []string{"list-jobs", "parse-job", "read-job", "read-job-scaling", "list-scaling-policies",
		"read-scaling-policy", "csi-list-volume", "csi-read-volume", "host-volume-read"}
	namespaceWrite = append(slices.Clone(namespaceRead), "scale-job", "submit-job", "dispatch-job", "read-logs", "read-fs",
		"alloc-exec", "alloc-lifecycle", "csi-mount-volume", "csi-write-volume", "submit-recommendation", "host-volume-create")
	namespaceLevels = map[string][]string{
		"deny": {"deny"}, "read": namespaceRead, "write": namespaceWrite,
		"scale": {"list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job", "read-job", "submit-recommendation"},
	}
	namespaceOther = []string{"deny", "alloc-node-exec", "sentinel-override", "csi-register-plugin", "host-volume-register",
		"host-volume-write", "host-volume-delete", "register-job", "revert-job", "deregister-job", "purge-job", "evaluate-job",
		"plan-job", "tag-job-version", "stable-job", "gc-allocation", "pause-allocation", "force-periodic-job",
		"fail-deployment", "pause-deployment", "promote-deployment", "unblock-deployment", "cancel-deployment",
		"set-alloc-health-deployment", "delete-service-registration"}
	poolLevels = map[string][]string{"deny": {"deny"}, "read": {"read"}, "write": {"read", "write", "delete"}}
	variableOf = map[string][]string{"deny": {"deny"}, "read": {"read", "list"}, "list": {"list"}, "write": {"write"}, "destroy": {"destroy"}}

	validNamespace = regexp.MustCompile(`^[a-zA-Z0-9*-]{1,128}$`)
	validPool      = regexp.MustCompile(`^[a-zA-Z0-9_*-]{1,128}$`)
)

// parseRules reads the rules of a policy. A server reads an older HCL, which lets
// a nested block stand on the line of its parent; here it must have its own.
// fault is what is wrong with them, in a server's words.
func parseRules(text string) (out *rules, fault string) {
	out = newRules()
	if text == "" {
		return out, ""
	}
	file, diags := hclsyntax.ParseConfig([]byte(text), "rules.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		at := diags[0].Subject.Start
		return nil, fmt.Sprintf("Failed to parse ACL Policy: At %d:%d: %s", at.Line, at.Column, diags[0].Detail)
	}
	p := &parser{src: file.Bytes}
	root := p.body(file.Body.(*hclsyntax.Body))
	var faults []string
	tell := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	found := 0
	for _, b := range root.blocks("namespace", 1) {
		found++
		p.namespace(out, b, tell)
	}
	for _, b := range root.blocks("node_pool", 1) {
		found++
		p.pool(out, b, tell)
	}
	for _, kind := range []string{"agent", "node", "operator", "quota", "plugin"} {
		for _, b := range root.blocks(kind, 0) {
			found++
			levels := []string{"deny", "read", "write"}
			if kind == "plugin" {
				levels = append(levels, "list")
			}
			level := ""
			if l := b.str("policy"); l != nil {
				level = *l
			}
			if !slices.Contains(levels, level) {
				tell("Invalid %s policy: %q", kind, level)
			}
			put(out.levels, kind, level)
		}
	}
	for _, b := range root.blocks("host_volume", 1) { // nothing here has volumes
		found++
		b.free()
	}
	if p.diags.HasErrors() {
		at := p.diags[0].Subject.Start
		tell("Failed to parse ACL Policy: At %d:%d: %s", at.Line, at.Column, p.diags[0].Detail)
	}
	if found == 0 {
		tell("Invalid policy: %s", text)
	}
	for _, b := range root.nested {
		tell("Invalid or duplicate policy keys: %s", b.Type)
	}
	if len(faults) > 0 {
		return nil, faults[0] // a server, too, tells the first one alone
	}
	return out, ""
}

func (p *parser) namespace(out *rules, b *body, tell func(string, ...any)) {
	name := b.labels[0]
	if !validNamespace.MatchString(name) {
		tell("Invalid namespace name: %q", name)
	}
	put(out.namespaces, name)
	if level := b.str("policy"); level != nil && *level != "" {
		if namespaceLevels[*level] == nil {
			tell("Invalid namespace policy: %q of %q", *level, name)
		}
		put(out.namespaces, name, namespaceLevels[*level]...)
	}
	for _, c := range b.strs("capabilities") {
		if !slices.Contains(namespaceWrite, c) && !slices.Contains(namespaceOther, c) {
			tell("Invalid namespace capability '%s': %q", c, name)
		}
		put(out.namespaces, name, c)
	}
	for _, v := range b.blocks("variables", 0) {
		paths := v.blocks("path", 1)
		if len(paths) == 0 {
			tell("Invalid variable policy: no variable paths in namespace %s", name)
		}
		for _, one := range paths {
			at := one.labels[0]
			switch {
			case at == "":
				tell("Invalid missing variable path in namespace %s", name)
			case strings.HasPrefix(at, "/"):
				tell("Invalid variable path %q in namespace %s: cannot start with a leading '/'", at, name)
			}
			for _, c := range one.strs("capabilities") {
				if variableOf[c] == nil {
					tell("Invalid variable capability '%s' in namespace %s", c, name)
				}
				out.putVariable(name, at, variableOf[c]...)
			}
		}
	}
}

func (p *parser) pool(out *rules, b *body, tell func(string, ...any)) {
	name := b.labels[0]
	if !validPool.MatchString(name) {
		tell("Invalid node pool name '%s'", name)
	}
	put(out.pools, name)
	if level := b.str("policy"); level != nil && *level != "" {
		if poolLevels[*level] == nil {
			tell("Invalid node pool policy '%s' for '%s'", *level, name)
		}
		put(out.pools, name, poolLevels[*level]...)
	}
	for _, c := range b.strs("capabilities") {
		if !slices.Contains([]string{"deny", "read", "write", "delete"}, c) {
			tell("Invalid node pool capability '%s' for '%s'", c, name)
		}
		put(out.pools, name, c)
	}
}

// put adds capabilities to what m grants for name.
func put(m map[string]grant, name string, capabilities ...string) {
	if m[name] == nil {
		m[name] = grant{}
	}
	for _, c := range capabilities {
		m[name][c] = true
	}
}

func (r *rules) putVariable(namespace, at string, capabilities ...string) {
	if r.variables[namespace] == nil {
		r.variables[namespace] = map[string]grant{}
	}
	put(r.variables[namespace], at, capabilities...)
}

// merge adds what more allows and denies.
func (r *rules) merge(more *rules) {
	mix := func(to, from map[string]grant) {
		for name, g := range from {
			put(to, name, slices.Collect(maps.Keys(g))...)
		}
	}
	mix(r.namespaces, more.namespaces)
	mix(r.pools, more.pools)
	mix(r.levels, more.levels)
	for namespace, paths := range more.variables {
		for at, g := range paths {
			r.putVariable(namespace, at, slices.Collect(maps.Keys(g))...)
		}
	}
}

// allowsLevel reports whether the level of kind includes want.
func (r *rules) allowsLevel(kind, want string) bool {
	has := r.levels[kind]
	switch {
	case has["deny"]:
		return false
	case has["write"]:
		return true
	case has["read"]:
		return want != "write"
	}
	return has[want]
}

// closest returns what is said of name: itself, or the pattern that leaves the
// fewest characters to its stars.
func closest[T any](of map[string]T, name string) (best T, ok bool) {
	if v, ok := of[name]; ok {
		return v, true
	}
	least := -1
	for pattern, v := range of {
		left := len(name) - len(pattern) + strings.Count(pattern, "*")
		if strings.Contains(pattern, "*") && glob(pattern, name) && (least < 0 || left < least) {
			best, ok, least = v, true, left
		}
	}
	return best, ok
}

// glob reports whether pattern, in which a star stands for anything, matches.
func glob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, middle := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(name, middle)
		if !ok {
			return false
		}
		name = rest
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}
