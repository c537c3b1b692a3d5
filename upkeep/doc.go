// Package upkeep applies playbooks to hosts that are in the cluster: to many at
// a time when an operator dispatches a commit, and to all of them again and again
// against drift. It remembers what became of it, and says how every host stands.
//
// It rests on three rules. A host is configured by one run at a time, enrolment's
// own among them: who comes second waits, and a scheduled turn is left out. A host
// that fails, hangs or is away holds up no other. What was begun is durable before
// it begins, so that an appliance that was killed goes on with the same jobs
// and starts none twice.
//
// How playbooks run on one host is package ansible's business.
package upkeep
