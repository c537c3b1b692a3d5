package commit

// held is a commit that waits for a person.
type held struct{}
