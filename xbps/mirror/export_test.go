package mirror

// Withheld is how much of a file waits until all of it is verified.
const Withheld = withheld
