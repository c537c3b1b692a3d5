// Package mirror is a pull-through mirror of Void's repositories: it serves what
// upstream serves, fetches each file once, verifies it before it is kept, and keeps
// snapshots of the indexes, so that a host can be installed months later from
// the same package versions.
//
// Its folder holds
//
//	packages/<sha256>        package files, and <sha256>.sig2 their signatures
//	indexes/<sha256>         indexes as upstream sent them, and <sha256>.files what they name
//	snapshots/<name>.json    which index each repository had
//	live.json                which index each repository has
//	keys/                    package keys that an import brought
//	incoming/                what is on its way; emptied at the start
//
// A package is kept for as long as any kept index, live or of a snapshot, names it.
// Beyond Config.Limit bytes the others are dropped, the oldest first; when that
// is not enough, packages are passed through and not kept, and a notice says so. What an
// import brings is kept whatever the limit. A disk that is really full is an answer of 507 to whoever asked.
package mirror
