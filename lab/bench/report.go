package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// Report is what a run found.
type Report struct {
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
	Goals   []Goal  `json:"goals"`
}

// Machine is where it ran. Load is the average when it began: what else ran then slows everything
// that follows.
type Machine struct {
	Processors int     `json:"processors"`
	Kernel     string  `json:"kernel"`
	Load       float64 `json:"load"`
}

// Row is one measure of one server in one case.
type Row struct {
	Case    string    `json:"case"`
	Measure string    `json:"measure"`
	Unit    string    `json:"unit"`
	Server  string    `json:"server"`
	Lower   bool      `json:"lower_is_better"`
	Values  []float64 `json:"values"` // one for each run
	Median  float64   `json:"median"`
	// Ratio is how many times better ours is than this server: above 1 we win. Zero
	// where there is none: in our own rows, and beside a median of zero.
	Ratio float64 `json:"ratio,omitempty"`
	// Note says why values are missing or doubtful.
	Note string `json:"note,omitempty"`
}

// Goal is a number that was promised.
type Goal struct {
	Name string  `json:"name"`
	Want string  `json:"want"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
	Note string  `json:"note,omitempty"` // why it could not be told
}

// median is the middle of values, or the mean of the middle two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratio is how many times better a is than b.
func ratio(a, b float64, lower bool) float64 {
	if lower {
		a, b = b, a
	}
	if a == 0 || b == 0 {
		return 0
	}
	return a / b
}

// compare fills in every row's median and ratio.
func (r *Report) compare() {
	for i := range r.Rows {
		r.Rows[i].Median = median(r.Rows[i].Values)
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		own := r.find(row.Case, row.Measure, ours)
		if row.Server != ours && own != nil && len(own.Values) > 0 && len(row.Values) > 0 {
			row.Ratio = ratio(own.Median, row.Median, row.Lower)
		}
	}
}

// find gives a row, or nil.
func (r *Report) find(name, measure, server string) *Row {
	i := slices.IndexFunc(r.Rows, func(w Row) bool {
		return w.Case == name && w.Measure == measure && w.Server == server
	})
	if i < 0 {
		return nil
	}
	return &r.Rows[i]
}

// judge adds the goals whose cases ran.
func (r *Report) judge(goals []goal) {
	for _, g := range goals {
		row := r.find(g.name, g.measure, cmp.Or(g.beside, ours))
		if row == nil {
			continue
		}
		out := Goal{Name: g.name + ", " + g.measure, Note: row.Note}
		if g.beside != "" {
			out.Name += ", times " + g.beside
			out.Got = row.Ratio
		} else {
			out.Got = row.Median
			out.Name += ", " + row.Unit
		}
		limit := strconv.FormatFloat(g.limit, 'g', -1, 64)
		if g.beside == "" && row.Lower {
			out.Want, out.Met = "at most "+limit, out.Got <= g.limit
		} else {
			out.Want, out.Met = "at least "+limit, out.Got >= g.limit
		}
		if len(row.Values) == 0 || g.beside != "" && row.Ratio == 0 {
			out.Met = false
			out.Note = cmp.Or(out.Note, "not measured")
		}
		r.Goals = append(r.Goals, out)
	}
}

// Missed are the goals that were not met.
func (r *Report) Missed() []Goal {
	return slices.DeleteFunc(slices.Clone(r.Goals), func(g Goal) bool { return g.Met })
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%d processors, Linux %s, load %.2f at the start; medians\n\n", r.Machine.Processors, r.Machine.Kernel, r.Machine.Load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CASE\tMEASURE\tSERVER\tMEDIAN\tRANGE\tOURS IS\tNOTE")
	lastCase, lastMeasure := "", ""
	for _, row := range r.Rows {
		name, measure := row.Case, row.Measure+", "+row.Unit
		if name == lastCase {
			name = ""
		}
		if name == "" && row.Measure == lastMeasure {
			measure = ""
		}
		lastCase, lastMeasure = row.Case, row.Measure
		middle, span, times := "–", "", ""
		if len(row.Values) > 0 {
			middle = figure(row.Median)
			span = figure(slices.Min(row.Values)) + "–" + figure(slices.Max(row.Values))
		}
		if row.Ratio != 0 {
			times = figure(row.Ratio) + "×"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, measure, row.Server, middle, span, times, row.Note)
	}
	fmt.Fprintln(t, "\nGOAL\tWANT\tGOT\t\t\t\tNOTE")
	for _, g := range r.Goals {
		verdict := "met"
		if !g.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\t\t%s\n", g.Name, g.Want, figure(g.Got), verdict, g.Note)
	}
	return t.Flush()
}

// figure shows three significant digits, as measurements deserve.
func figure(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
