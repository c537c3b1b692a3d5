package nomadtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

// parser collects what is wrong with one jobspec.
type parser struct {
	src   []byte
	diags hcl.Diagnostics
}

func (p *parser) fault(at hcl.Range, summary, detail string) {
	p.diags = append(p.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}

// body is a block whose arguments are taken out one by one: what is left at the
// end was not expected.
type body struct {
	p      *parser
	labels []string
	attrs  hclsyntax.Attributes
	nested hclsyntax.Blocks
}

func (p *parser) body(b *hclsyntax.Body) *body {
	out := &body{p: p, attrs: hclsyntax.Attributes{}, nested: b.Blocks}
	for k, v := range b.Attributes {
		out.attrs[k] = v
	}
	return out
}

// blocks takes the blocks of one kind, which must have so many labels.
func (b *body) blocks(kind string, labels int) (out []*body) {
	var rest hclsyntax.Blocks
	for _, n := range b.nested {
		if n.Type != kind {
			rest = append(rest, n)
			continue
		}
		if len(n.Labels) != labels {
			b.p.fault(n.DefRange(), "Wrong number of labels", fmt.Sprintf("A %s block has %d labels.", kind, labels))
			continue
		}
		c := b.p.body(n.Body)
		c.labels = n.Labels
		out = append(out, c)
	}
	b.nested = rest
	return out
}

// end reports what nobody took.
func (b *body) end() {
	for name, a := range b.attrs {
		b.p.fault(a.NameRange, "Unsupported argument", fmt.Sprintf("An argument named %q is not expected here.", name))
	}
	for _, n := range b.nested {
		b.p.fault(n.TypeRange, "Unsupported block type", fmt.Sprintf("Blocks of type %q are not expected here.", n.Type))
	}
}

// take returns the value of an argument as t; ok is false without one.
func (b *body) take(name string, t cty.Type) (v cty.Value, ok bool) {
	a := b.attrs[name]
	if a == nil {
		return cty.NilVal, false
	}
	delete(b.attrs, name)
	v = b.p.value(a.Expr)
	v, err := convert.Convert(v, t)
	if err != nil || v.IsNull() || !v.IsWhollyKnown() {
		b.p.fault(a.Expr.Range(), "Unsuitable value type", fmt.Sprintf("Unsuitable value for %q: %v", name, err))
		return cty.NilVal, false
	}
	return v, true
}

func (b *body) str(name string) *string {
	v, ok := b.take(name, cty.String)
	if !ok {
		return nil
	}
	s := v.AsString()
	return &s
}

func (b *body) num(name string) *int {
	v, ok := b.take(name, cty.Number)
	if !ok {
		return nil
	}
	var n int
	if err := gocty.FromCtyValue(v, &n); err != nil {
		b.p.fault(hcl.Range{Filename: "input.hcl"}, "Unsuitable value type", fmt.Sprintf("%q: %v", name, err))
	}
	return &n
}

func (b *body) flag(name string) *bool {
	v, ok := b.take(name, cty.Bool)
	if !ok {
		return nil
	}
	yes := v.True()
	return &yes
}

func (b *body) duration(name string) *time.Duration {
	s := b.str(name)
	if s == nil {
		return nil
	}
	d, err := time.ParseDuration(*s)
	if err != nil {
		b.p.fault(hcl.Range{Filename: "input.hcl"}, "Unsuitable value type", fmt.Sprintf("%q: %v", name, err))
	}
	return &d
}

func (b *body) strs(name string) (out []string) {
	v, ok := b.take(name, cty.List(cty.String))
	if ok {
		for _, e := range v.AsValueSlice() {
			out = append(out, e.AsString())
		}
	}
	return out
}

// texts takes a map of strings, which may be written as a block or an argument.
func (b *body) texts(name string) map[string]string {
	values := map[string]cty.Value{}
	if v, ok := b.take(name, cty.Map(cty.String)); ok {
		values = v.AsValueMap()
	}
	for _, c := range b.blocks(name, 0) {
		for k := range c.attrs {
			if v, ok := c.take(k, cty.String); ok {
				values[k] = v
			}
		}
		c.end()
	}
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]string, len(values))
	for k, v := range values {
		out[k] = v.AsString()
	}
	return out
}

// free takes everything, as a driver's configuration is.
func (b *body) free() map[string]any {
	out := map[string]any{}
	for k, a := range b.attrs {
		out[k] = plain(b.p.value(a.Expr))
	}
	b.attrs = nil
	for _, n := range b.nested {
		nested := b.p.body(n.Body).free()
		list, _ := out[n.Type].([]any)
		out[n.Type] = append(list, nested)
	}
	b.nested = nil
	return out
}

// value evaluates e. A reference such as ${node.unique.id} is left for the
// scheduler and the client: its source is its value.
func (p *parser) value(e hclsyntax.Expression) cty.Value {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		var b strings.Builder
		for _, part := range e.Parts {
			if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
				b.WriteString("${" + string(part.Range().SliceBytes(p.src)) + "}")
				continue
			}
			v, err := convert.Convert(p.value(part), cty.String)
			if err != nil || v.IsNull() {
				p.fault(part.Range(), "Invalid template interpolation value", fmt.Sprint(err))
				continue
			}
			b.WriteString(v.AsString())
		}
		return cty.StringVal(b.String())
	case *hclsyntax.TemplateWrapExpr:
		return cty.StringVal("${" + string(e.Wrapped.Range().SliceBytes(p.src)) + "}")
	case *hclsyntax.TupleConsExpr:
		values := make([]cty.Value, len(e.Exprs))
		for i, one := range e.Exprs {
			values[i] = p.value(one)
		}
		return cty.TupleVal(values)
	case *hclsyntax.ObjectConsExpr:
		values := map[string]cty.Value{}
		for _, item := range e.Items {
			key, diags := item.KeyExpr.Value(nil)
			p.diags = append(p.diags, diags...)
			if diags.HasErrors() || key.Type() != cty.String {
				continue
			}
			values[key.AsString()] = p.value(item.ValueExpr)
		}
		return cty.ObjectVal(values)
	}
	v, diags := e.Value(nil)
	p.diags = append(p.diags, diags...)
	if diags.HasErrors() {
		return cty.StringVal("")
	}
	return v
}

// plain turns v into what JSON knows.
func plain(v cty.Value) any {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
		return nil
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return f
	case t.IsTupleType() || t.IsListType():
		out := []any{}
		for _, e := range v.AsValueSlice() {
			out = append(out, plain(e))
		}
		return out
	}
	out := map[string]any{}
	for k, e := range v.AsValueMap() {
		out[k] = plain(e)
	}
	return out
}
