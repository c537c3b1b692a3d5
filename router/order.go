package router

import "slices"

// stays is the anchor of a row that need not move. It is no id.
const stays = "="

// sequence is a menu whose order counts, while a plan is made: the ids in their
// order, of rows that the plan adds their key after a plus sign.
type sequence struct {
	ids   []string
	refs  map[string]Reference
	names map[string]string
}

func newSequence(t *table) *sequence {
	s := &sequence{refs: map[string]Reference{}, names: map[string]string{}}
	for _, row := range t.rows {
		id := row[".id"]
		s.ids = append(s.ids, id)
		s.refs[id] = Reference{ID: id}
		s.names[id] = t.m.nameOf(row)
	}
	for _, g := range t.gone {
		// It has another id when it is made again.
		if g.key != "" {
			s.refs[g.row[".id"]] = Reference{Key: g.key}
		}
	}
	return s
}

// after is the row that follows the one with id.
func (s *sequence) after(id string) Reference {
	if i := slices.Index(s.ids, id); i+1 < len(s.ids) {
		return s.refs[s.ids[i+1]]
	}
	return Reference{}
}

// remove takes id out and returns what followed it.
func (s *sequence) remove(id string) Reference {
	next := s.after(id)
	s.ids = slices.DeleteFunc(s.ids, func(other string) bool { return other == id })
	return next
}

// add puts a row that the plan adds before another.
func (s *sequence) add(key, before string) {
	id := "+" + key
	s.refs[id], s.names[id] = Reference{Key: key}, key
	at := slices.Index(s.ids, before)
	if at < 0 {
		at = len(s.ids)
	}
	s.ids = slices.Insert(s.ids, at, id)
}

// moves are the operations that bring the rows that are there into the order of
// those that shall be.
func (s *sequence) moves(t *table, places []string) []Operation {
	var ops []Operation
	before := slices.Clone(s.ids)
	for i, w := range t.want {
		if w.have == nil || places[i] == stays {
			continue
		}
		id := w.have[".id"]
		ops = append(ops, Operation{
			Kind: Move, Menu: t.m.path, ID: id, Key: w.want.Key, Name: t.m.nameOf(t.m.marked(w.want.Key)),
			Place: places[i], Next: s.names[places[i]],
			Was: slices.Index(before, id), Back: (&sequence{ids: before, refs: s.refs}).after(id),
		})
	}
	for _, op := range ops {
		s.remove(op.ID)
		at := slices.Index(s.ids, op.Place)
		if at < 0 {
			at = len(s.ids)
		}
		s.ids = slices.Insert(s.ids, at, op.ID)
	}
	return ops
}

// anchors says for each row that shall be before which row of the router it is
// put, "" for the end, or that it stays. As few as possible move: in each chain
// the longest run of rows that stand in the right order stays, the others are put
// before the next of them. New rows come when that is done, before the next that is there.
func (s *sequence) anchors(t *table) []string {
	places := make([]string, len(t.want))
	for at := 0; at < len(t.want); {
		end := at
		for end < len(t.want) && t.want[end].want.Fields["chain"] == t.want[at].want.Fields["chain"] {
			end++
		}
		s.anchorChain(t.want[at:end], places[at:end])
		at = end
	}
	return places
}

func (s *sequence) anchorChain(want []pair, places []string) {
	positions := make([]int, len(want))
	for i, w := range want {
		positions[i] = -1
		if w.have != nil {
			positions[i] = slices.Index(s.ids, w.have[".id"])
		}
	}
	keep := longestRun(positions)
	kept, there := "", ""
	for i := len(want) - 1; i >= 0; i-- {
		switch {
		case want[i].have == nil:
			places[i] = there
			continue
		case keep[i]:
			places[i], kept = stays, want[i].have[".id"]
		default:
			places[i] = kept
		}
		there = want[i].have[".id"]
	}
}

// longestRun marks a longest increasing subsequence of what is not negative.
func longestRun(positions []int) []bool {
	length, previous := make([]int, len(positions)), make([]int, len(positions))
	best := -1
	for i, p := range positions {
		previous[i] = -1
		if p < 0 {
			continue
		}
		length[i] = 1
		for j := range i {
			if positions[j] >= 0 && positions[j] < p && length[j] >= length[i] {
				length[i], previous[i] = length[j]+1, j
			}
		}
		if best < 0 || length[i] > length[best] {
			best = i
		}
	}
	keep := make([]bool, len(positions))
	for ; best >= 0; best = previous[best] {
		keep[best] = true
	}
	return keep
}
