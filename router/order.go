package router

import "slices"

// stays is the anchor of a row that need not move. It is no id.
const stays = "="

// sequence is an ordered menu while a plan is made: the ids in their order, of
// rows that the plan adds their key after a plus sign.
type sequence struct {
	ids  []string
	refs map[string]Reference
}

func newSequence(t *table) *sequence {
	s := &sequence{refs: map[string]Reference{}}
	for _, row := range t.rows {
		id := row[".id"]
		s.ids = append(s.ids, id)
		ref := Reference{ID: id}
		if key, ours := t.m.keyOf(row); ours {
			ref.Key = key
		}
		s.refs[id] = ref
	}
	return s
}

// nameOf is what people call a row: its key, or its id when it is foreign.
func (s *sequence) nameOf(id string) string {
	if key := s.refs[id].Key; key != "" {
		return key
	}
	return id
}

// after is the row that follows the one at i.
func (s *sequence) after(i int) Reference {
	if i+1 >= len(s.ids) {
		return Reference{}
	}
	return s.refs[s.ids[i+1]]
}

// remove takes id out and returns what followed it.
func (s *sequence) remove(id string) Reference {
	i := slices.Index(s.ids, id)
	next := s.after(i)
	s.ids = slices.Delete(s.ids, i, i+1)
	return next
}

func (s *sequence) insert(id string, ref Reference, before string) {
	s.refs[id] = ref
	at := slices.Index(s.ids, before)
	if at < 0 {
		at = len(s.ids)
	}
	s.ids = slices.Insert(s.ids, at, id)
}

// move puts id before another and returns what followed it.
func (s *sequence) move(id, before string) Reference {
	ref := s.refs[id]
	next := s.remove(id)
	s.insert(id, ref, before)
	return next
}

// anchors says for each row that shall be before which row of the router it is
// put, "" for the end, or that it stays. As few as possible move: in each chain
// the longest run of rows that stand in the right order stays, and the others are
// put before the next of them.
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
	anchor := ""
	for i := len(want) - 1; i >= 0; i-- {
		if keep[i] {
			places[i], anchor = stays, want[i].have[".id"]
		} else {
			places[i] = anchor
		}
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
