// Package commit changes a router so that it ends up wholly changed or wholly
// as it was, whatever happens on the way, and says which. It applies plans of
// package router, keeps a record of each, and watches for drift; it decides
// nothing about what the router should be.
//
// The procedure:
//
//  1. Read, plan, and refuse what cannot go well.
//  2. Save a backup and an export on the router, and a durable record here.
//  3. Install a dead-man timer on the router: a scheduler entry that runs the
//     plan's inverse. It is also the lock between appliances.
//  4. Apply in transactions of few operations, each in RouterOS's safe mode:
//     the router takes one back when the connection ends.
//  5. Read back, and check from new connections that the router still does
//     its work.
//  6. Wait for a person where one wanted that, then release safe mode and
//     remove the timer: its removal is one call, and the point of no return.
//
// Anything else that happens ends in the state before: the last transaction is
// unrolled, the inverse takes the earlier ones back, and reading proves it. A
// connection that is lost, or an appliance that is killed, leaves a record that
// [Committer.Run] resolves by reading the router. What reading cannot prove is
// called unknown.
//
// The timers are set so that they cannot disturb each other: a commit has
// [Committer.Within] to be applied and checked; RouterOS gives a connection
// that was cut nine minutes before it takes its safe mode back; the dead-man
// comes after both.
package commit
